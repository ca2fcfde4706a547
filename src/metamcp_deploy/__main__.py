"""`python -m metamcp_deploy`."""

from metamcp_deploy.cli import main

if __name__ == "__main__":
    main()
