// @ts-check
/** The token that a page's scripts ask the services with: fetched when it is wanted, kept in memory alone. */

let token = "";
let until = 0;

/** @param {string} name */
export function meta(name) {
  return document.querySelector(`meta[name="${name}"]`)?.getAttribute("content") ?? "";
}

/** A service refused: its status, and the code of its problem. */
export class Refused extends Error {
  /** @param {number} status @param {string} code @param {string} detail */
  constructor(status, code, detail) {
    super(`${status} ${code} ${detail}`);
    this.status = status;
    this.code = code;
  }
}

async function fresh() {
  if (Date.now() < until) return token;
  const answer = await fetch("/auth/token", { method: "POST", headers: { "X-CSRF-Token": meta("csrf") }, credentials: "same-origin" });
  if (!answer.ok) throw new Refused(answer.status, "unauthorized", "");
  const said = await answer.json();
  token = said.access_token;
  until = Date.now() + (said.expires_in - 60) * 1000;
  return token;
}

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @param {AbortSignal} [signal]
 * @param {string} [key] makes one of two that are asked alike
 * @returns {Promise<any>}
 */
export async function ask(method, path, body, signal, key) {
  /** @type {Record<string, string>} */
  const headers = { Authorization: `Bearer ${await fresh()}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method === "POST") headers["Idempotency-Key"] = key ?? crypto.randomUUID();
  const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal, credentials: "omit" });
  const text = await answer.text();
  const said = text ? JSON.parse(text) : null;
  if (!answer.ok) throw new Refused(answer.status, String(said?.type ?? "").replace("urn:parvis:problem:", ""), String(said?.detail ?? ""));
  return said;
}
