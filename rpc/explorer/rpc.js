// JSON-RPC 2.0 over one WebSocket, with HTTP as the fallback. It reconnects by itself with back-off, asks for every
// subscription again, and tells its listeners, so that pages can catch up on what they missed.

export class RpcError extends Error {
  constructor({ code, message, data }) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

/** The node cannot be reached at all, over neither transport. */
export class NodeDown extends Error {}

export const NO_INDEX = -32002;
export const UNKNOWN = -32001;
const INVALID_PARAMS = -32602;
const TIMEOUT_MS = 20_000;
const FIRST_DELAY_MS = 400;
const LONGEST_DELAY_MS = 10_000;

export const isUnknown = (error) => error instanceof RpcError && [UNKNOWN, INVALID_PARAMS].includes(error.code);

/**
 * Events: "state" whenever `state` changes ("connecting" | "live" | "polling" | "down"), "restored" when the socket is
 * back after a loss.
 */
export class Rpc extends EventTarget {
  constructor(http, socket) {
    super();
    this.http = http;
    this.address = socket;
    this.state = "connecting";
    this.socket = null;
    this.waiting = new Map();
    this.subscriptions = new Set();
    this.byIdentity = new Map();
    this.number = 0;
    this.delay = FIRST_DELAY_MS;
    this.everLive = false;
    this.retryAt = 0;
    addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.hurry());
    this.connect();
  }

  // --- calls

  /** The result of a method. Throws `RpcError` (the node's answer) or `NodeDown`. */
  async call(method, params = []) {
    if (this.socket?.readyState === WebSocket.OPEN) {
      try {
        return await this.callSocket(method, params);
      } catch (error) {
        if (!(error instanceof NodeDown)) throw error;
      }
    }
    return this.callHttp(method, params);
  }

  callSocket(method, params) {
    const id = ++this.number;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.settle(id, { lost: true }), TIMEOUT_MS);
      this.waiting.set(id, { resolve, reject, timer });
      this.socket.send(JSON.stringify({ jsonrpc: "2.0", id, method, params }));
    });
  }

  async callHttp(method, params) {
    let message;
    try {
      const response = await fetch(this.http, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ jsonrpc: "2.0", id: ++this.number, method, params }),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      message = await response.json();
    } catch {
      if (!this.isOpen()) this.setState("down");
      throw new NodeDown("The node does not answer.");
    }
    if (this.state === "down") this.setState("polling");
    if (message.error) throw new RpcError(message.error);
    return message.result;
  }

  settle(id, message) {
    const waiting = this.waiting.get(id);
    if (!waiting) return;
    this.waiting.delete(id);
    clearTimeout(waiting.timer);
    if (message.lost) waiting.reject(new NodeDown("The connection was lost."));
    else if (message.error) waiting.reject(new RpcError(message.error));
    else waiting.resolve(message.result);
  }

  // --- subscriptions

  /** Call `onResult` with every notification until the returned function is called; survives reconnects. */
  subscribe(method, params, unsubscribe, onResult) {
    const subscription = { method, params, unsubscribe, onResult, identity: null, ended: false };
    this.subscriptions.add(subscription);
    if (this.isOpen()) this.start(subscription);
    return () => this.end(subscription);
  }

  async start(subscription) {
    const socket = this.socket;
    try {
      const identity = await this.callSocket(subscription.method, subscription.params);
      if (socket !== this.socket) return;
      if (subscription.ended) this.callSocket(subscription.unsubscribe, [identity]).catch(() => {});
      else {
        subscription.identity = identity;
        this.byIdentity.set(identity, subscription);
        for (const early of this.early?.get(identity) ?? []) subscription.onResult(early);
        this.early?.delete(identity);
      }
    } catch (error) {
      // A node without that subscription still serves the page: polling does what the notifications would have done.
      console.info(`no subscription ${subscription.method}: ${error.message}`);
    }
  }

  end(subscription) {
    subscription.ended = true;
    this.subscriptions.delete(subscription);
    if (subscription.identity === null) return;
    this.byIdentity.delete(subscription.identity);
    if (this.isOpen()) this.callSocket(subscription.unsubscribe, [subscription.identity]).catch(() => {});
  }

  // --- the socket

  isOpen() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  setState(state) {
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }

  connect() {
    clearTimeout(this.timer);
    let socket;
    try {
      socket = new WebSocket(this.address);
    } catch {
      this.retry();
      return;
    }
    this.socket = socket;
    socket.onopen = () => this.onOpen();
    socket.onmessage = (event) => socket === this.socket && this.onMessage(event.data);
    socket.onclose = () => socket === this.socket && this.onClose();
  }

  onOpen() {
    this.delay = FIRST_DELAY_MS;
    this.early = new Map();
    for (const subscription of this.subscriptions) this.start(subscription);
    const back = this.everLive || this.state === "down" || this.state === "polling";
    this.everLive = true;
    this.setState("live");
    if (back) this.dispatchEvent(new Event("restored"));
  }

  onMessage(text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    if (message.id !== undefined && message.id !== null) this.settle(message.id, message);
    else if (message.params?.subscription !== undefined) this.onNotification(message.params);
  }

  onNotification({ subscription: identity, result }) {
    const subscription = this.byIdentity.get(identity);
    if (subscription) subscription.onResult(result);
    else if (this.early.size < 64) this.early.set(identity, [...(this.early.get(identity) ?? []), result]);
  }

  onClose() {
    this.socket = null;
    this.byIdentity.clear();
    for (const subscription of this.subscriptions) subscription.identity = null;
    for (const id of [...this.waiting.keys()]) this.settle(id, { lost: true });
    this.retry();
    this.probe();
  }

  retry() {
    const wait = this.delay * (0.8 + 0.4 * Math.random());
    this.retryAt = Date.now() + wait;
    this.timer = setTimeout(() => this.connect(), wait);
    this.delay = Math.min(this.delay * 1.7, LONGEST_DELAY_MS);
  }

  /** Try again right now: the reader asked, came back to the tab, or the network did. */
  hurry() {
    if (this.isOpen() || this.socket?.readyState === WebSocket.CONNECTING) return;
    this.delay = FIRST_DELAY_MS;
    this.connect();
  }

  /** Without a socket: is the node gone, or does only the socket fail (an old proxy, say)? */
  async probe() {
    try {
      await this.callHttp("system_health", []);
      if (!this.isOpen()) this.setState("polling");
    } catch (error) {
      if (error instanceof RpcError && !this.isOpen()) this.setState("polling");
    }
  }
}
