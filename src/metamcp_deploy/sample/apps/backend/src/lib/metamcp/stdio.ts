import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";

type Message = { id?: number; result?: unknown; error?: { message: string } };
type Waiting = { resolve: (result: unknown) => void; reject: (error: Error) => void };

/** A running MCP server that is spoken to over its standard input and output. */
export class StdioServer {
  readonly process: ChildProcess;
  onmessage: (message: Message) => void = (message) => this.#answered(message);
  #waiting = new Map<number, Waiting>();
  #next = 1;

  constructor(command: string, args: string[], env: Record<string, string | undefined>) {
    // As the real one does: in a session of its own, and not waited for.
    this.process = spawn(command, args, { env, detached: true, stdio: ["pipe", "pipe", "inherit"] });
    this.process.unref();
    this.process.on("error", (error) => this.#failed(error));
    this.process.on("close", (code) => this.#failed(new Error(`The server ended (${code})`)));
    this.process.stdin!.on("error", (error) => this.#failed(error));
    createInterface({ input: this.process.stdout! }).on("line", (line) => {
      this.onmessage(JSON.parse(line) as Message);
    });
  }

  get alive(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  send(message: object): void {
    this.process.stdin!.write(`${JSON.stringify(message)}\n`);
  }

  request(method: string, params: object): Promise<unknown> {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.send({ jsonrpc: "2.0", id, method, params });
    });
  }

  close(): void {
    this.process.kill("SIGTERM");
  }

  #answered({ id, result, error }: Message): void {
    const waiting = this.#waiting.get(id ?? 0);
    this.#waiting.delete(id ?? 0);
    if (error) {
      waiting?.reject(new Error(error.message));
    } else {
      waiting?.resolve(result);
    }
  }

  #failed(error: Error): void {
    for (const { reject } of this.#waiting.values()) {
      reject(error);
    }
    this.#waiting.clear();
  }
}
