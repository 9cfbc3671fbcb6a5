// Requests to the station. A refusal for want of a token asks for one and tries again; every other fault is an ApiError
// with the server's own message, which carries the remedy.

const TOKEN_KEY = "shapeguard-token";

export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly code: string,
    readonly requestId: string | null,
  ) {
    super(message);
  }
}

interface Options {
  body?: BodyInit;
  json?: unknown;
  signal?: AbortSignal;
}

export class Api {
  /** Kept for this tab alone, and gone with it. */
  private token = sessionStorage.getItem(TOKEN_KEY);
  private asking: Promise<string> | null = null;

  /** `ask` gets a token from the person at the station; it is told whether one was refused. */
  constructor(private readonly ask: (refused: boolean) => Promise<string>) {}

  async get<T>(path: string, signal?: AbortSignal): Promise<T> {
    return (await this.request("GET", path, { signal })).json();
  }

  async post<T>(path: string, json: unknown = {}): Promise<T> {
    return (await this.request("POST", path, { json })).json();
  }

  async delete(path: string): Promise<void> {
    await this.request("DELETE", path);
  }

  async bytes(path: string, signal?: AbortSignal): Promise<ArrayBuffer> {
    return (await this.request("GET", path, { signal })).arrayBuffer();
  }

  /** A picture's object URL: an <img> by itself could not send the token. Whoever shows it revokes it. */
  async picture(path: string, signal?: AbortSignal): Promise<string> {
    return URL.createObjectURL(await (await this.request("GET", path, { signal })).blob());
  }

  async request(method: string, path: string, options: Options = {}): Promise<Response> {
    for (;;) {
      const token = this.token;
      const headers: Record<string, string> = token ? { Authorization: `Bearer ${token}` } : {};
      if (options.json !== undefined) headers["Content-Type"] = "application/json";
      const body = options.json === undefined ? options.body : JSON.stringify(options.json);
      const response = await fetch(path, { method, headers, body, signal: options.signal }).catch((error: unknown) => {
        throw options.signal?.aborted ? error : unreachable();
      });
      if (response.ok) return response;
      if (response.status !== 401) throw readError(response.status, await response.text());
      await this.renew(token);
    }
  }

  /** Sends a large body and tells how much of it is gone, which fetch cannot. */
  async upload<T>(method: string, path: string, body: Blob | FormData, onSent: (share: number) => void): Promise<T> {
    for (;;) {
      const token = this.token;
      const request = new XMLHttpRequest();
      await new Promise<void>((resolve, reject) => {
        request.open(method, path);
        if (token) request.setRequestHeader("Authorization", `Bearer ${token}`);
        if (body instanceof Blob) request.setRequestHeader("Content-Type", "application/octet-stream");
        request.upload.onprogress = (event) => onSent(event.total > 0 ? event.loaded / event.total : 0);
        request.onload = () => resolve();
        request.onerror = () => reject(unreachable());
        request.send(body);
      });
      if (request.status === 204) return undefined as T;
      if (request.status < 300) return JSON.parse(request.responseText) as T;
      if (request.status !== 401) throw readError(request.status, request.responseText);
      await this.renew(token);
    }
  }

  /** Forgets the token and asks for another. */
  async changeToken(): Promise<void> {
    this.token = null;
    sessionStorage.removeItem(TOKEN_KEY);
    await this.renew(null);
  }

  /** One question, however many requests were refused at once; none if another request has got a new token already. */
  private async renew(refused: string | null): Promise<void> {
    if (this.token !== refused) return;
    this.asking ??= this.ask(refused !== null).finally(() => (this.asking = null));
    this.token = await this.asking;
    sessionStorage.setItem(TOKEN_KEY, this.token);
  }
}

function unreachable(): ApiError {
  const message = `The station at ${location.host} does not answer. Check the network, and that \`shapeguard serve\` runs; then try again.`;
  return new ApiError(message, 0, "unreachable", null);
}

function readError(status: number, text: string): ApiError {
  try {
    const { code, message, request_id } = JSON.parse(text).error;
    return new ApiError(message, status, code, request_id);
  } catch {
    return new ApiError(text.trim() || `The station answered with status ${status} and said no more.`, status, "unknown", null);
  }
}
