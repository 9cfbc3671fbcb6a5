// The station's live events: server-sent events read with fetch, since EventSource cannot send the token's header.
import type { Api } from "./api";
import type { StationEvents } from "./contract";

/** The server sends comments more often than this; a stream that is silent for longer is dead. */
const SILENCE_MS = 60_000;
const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 30_000;

export type Connection = "live" | "lost";

/** Reads the text of an event stream piece by piece. Ids and retry times are passed over: the station sends none. */
export function eventParser(onEvent: (name: string, data: string) => void): (text: string) => void {
  let rest = "";
  let name = "";
  let data: string[] = [];
  const line = (text: string) => {
    if (text === "") {
      if (data.length > 0) onEvent(name || "message", data.join("\n"));
      name = "";
      data = [];
      return;
    }
    const colon = text.indexOf(":");
    const field = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? "" : text.slice(colon + 1).replace(/^ /, "");
    if (field === "event") name = value;
    else if (field === "data") data.push(value);
  };
  return (text) => {
    rest += text;
    // A carriage return at the very end may be the first half of a line end.
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? "";
    lines.forEach(line);
  };
}

/** The stream, and what views listen to. */
export class LiveEvents {
  private readonly target = new EventTarget();
  private connection: Connection | null = null;

  constructor(private readonly api: Api) {}

  /** Calls back on each event of a kind until the signal ends it. */
  on<K extends keyof StationEvents>(kind: K, listener: (event: StationEvents[K]) => void, signal: AbortSignal): void {
    this.target.addEventListener(kind, (event) => listener((event as CustomEvent<StationEvents[K]>).detail), { signal });
  }

  /** Calls back when the stream is there again after a loss: what happened meanwhile has to be fetched. */
  onReconnect(listener: () => void, signal: AbortSignal): void {
    this.target.addEventListener("reconnect", listener, { signal });
  }

  /** Reads for ever, reconnecting ever more slowly while the station is away. */
  async run(onConnection: (state: Connection) => void): Promise<never> {
    const tell = (state: Connection) => {
      if (state === this.connection) return;
      if (state === "live" && this.connection === "lost") this.target.dispatchEvent(new Event("reconnect"));
      this.connection = state;
      onConnection(state);
    };
    let wait = FIRST_WAIT_MS;
    for (;;) {
      try {
        await this.read(() => {
          wait = FIRST_WAIT_MS;
          tell("live");
        });
      } catch (error) {
        console.info("The event stream broke off:", error);
      }
      tell("lost");
      await new Promise((resolve) => setTimeout(resolve, wait));
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    }
  }

  private async read(onOpen: () => void): Promise<void> {
    const abort = new AbortController();
    const response = await this.api.request("GET", "/v1/events", { signal: abort.signal });
    if (!response.body) return;
    onOpen();
    const parse = eventParser((name, data) => {
      this.target.dispatchEvent(new CustomEvent(name, { detail: JSON.parse(data) }));
    });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const silence = setTimeout(() => abort.abort(new Error("no sign of life from the station")), SILENCE_MS);
      const { done, value } = await reader.read().finally(() => clearTimeout(silence));
      if (done) return;
      parse(value);
    }
  }
}
