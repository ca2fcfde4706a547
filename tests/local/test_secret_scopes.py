import base64

import pytest
from databricks.sdk.errors import InvalidParameterValue, ResourceAlreadyExists, ResourceDoesNotExist
from databricks.sdk.service.workspace import AclPermission


@pytest.fixture
def scope(world):
    name = world.name()
    world.client.secrets.create_scope(name)
    return name


def test_scopes(world, scope):
    assert scope in [s.name for s in world.client.secrets.list_scopes()]
    with pytest.raises(ResourceAlreadyExists, match="already exists"):
        world.client.secrets.create_scope(scope)
    world.client.secrets.delete_scope(scope)
    with pytest.raises(ResourceDoesNotExist):
        world.client.secrets.delete_scope(scope)
    with pytest.raises(InvalidParameterValue):
        world.client.secrets.create_scope("not a name")


def test_values(world, scope):
    secrets = world.client.secrets
    secrets.put_secret(scope, "text", string_value="grün")
    secrets.put_secret(scope, "bytes", bytes_value=base64.b64encode(b"\x00\xff").decode())
    assert base64.b64decode(secrets.get_secret(scope, "text").value).decode() == "grün"
    assert base64.b64decode(secrets.get_secret(scope, "bytes").value) == b"\x00\xff"
    assert [s.key for s in secrets.list_secrets(scope)] == ["bytes", "text"]
    secrets.delete_secret(scope, "text")
    with pytest.raises(ResourceDoesNotExist):
        secrets.get_secret(scope, "text")
    with pytest.raises(ResourceDoesNotExist):
        secrets.put_secret("nowhere", "text", string_value="x")
    with pytest.raises(InvalidParameterValue):
        secrets.put_secret(scope, "text")


def test_access_lists(world, scope):
    secrets = world.client.secrets
    assert secrets.get_acl(scope, "developer@example.com").permission is AclPermission.MANAGE
    secrets.put_acl(scope, "users", AclPermission.READ)
    assert {a.principal for a in secrets.list_acls(scope)} == {"developer@example.com", "users"}
    secrets.delete_acl(scope, "users")
    with pytest.raises(ResourceDoesNotExist):
        secrets.get_acl(scope, "users")
