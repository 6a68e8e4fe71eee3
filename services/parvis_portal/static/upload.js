// @ts-check
/**
 * The uploader: bytes go from here straight to the blob store, in one piece or in parts. A break costs one part: it tries again by
 * itself, and a file that is chosen again after the page was closed goes on where it stopped. Without this module the form sends itself.
 */
import { crc64nvme } from "./crc64.js";
import { ask, Refused } from "./session.js";

const SINGLE_BYTES_MAX = 16 * 2 ** 20;
const AT_ONCE = 3;
const TRIES = 8;
const PAUSE_MAX_MS = 20_000;
const KEPT_SHOWN = 20; // as the page of a folder has it
const API = "/api/files/v1";

/** @typedef {{method: string, url: string, headers: Record<string, string>}} Address */
/** @typedef {{id: string, state: string, file_id: string | null, part_bytes: number | null, parts: number | null, size_bytes: number, name: string, put: Address | null}} Upload */

/** The store or the line failed: it may be tried again. */
class Broken extends Error {}

/** @param {number} ms @param {AbortSignal} signal */
const pause = (ms, signal) => new Promise((done, stop) => {
  const timer = setTimeout(done, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); stop(signal.reason); }, { once: true });
});

/**
 * @template T
 * @param {() => Promise<T>} once
 * @param {AbortSignal} signal
 * @param {(waiting: boolean) => void} tell
 * @returns {Promise<T>}
 */
async function patiently(once, signal, tell) {
  for (let tried = 1; ; tried++) {
    try {
      const found = await once();
      tell(false);
      return found;
    } catch (error) {
      const again = error instanceof Broken || error instanceof TypeError || (error instanceof Refused && (error.status === 503 || error.status === 429));
      if (!again || tried >= TRIES || signal.aborted) throw error;
      tell(true);
      await pause(Math.min(500 * 2 ** tried, PAUSE_MAX_MS), signal);
    }
  }
}

/**
 * XMLHttpRequest, since fetch does not tell how far an upload is.
 * @param {Address} address @param {Blob} bytes @param {AbortSignal} signal @param {(sent: number) => void} tell
 * @returns {Promise<void>}
 */
function put(address, bytes, signal, tell) {
  return new Promise((done, fail) => {
    const request = new XMLHttpRequest();
    request.open(address.method, address.url);
    for (const [name, value] of Object.entries(address.headers)) {
      if (!["content-length", "host"].includes(name.toLowerCase())) request.setRequestHeader(name, value);
    }
    request.upload.addEventListener("progress", (event) => tell(event.loaded));
    request.addEventListener("load", () => {
      // 412: it is there already, an answer was lost
      if ((request.status >= 200 && request.status < 300) || request.status === 412) done();
      else fail(request.status >= 500 || request.status === 403 || request.status === 400 ? new Broken(String(request.status)) : new Refused(request.status, "", ""));
    });
    request.addEventListener("error", () => fail(new Broken("line")));
    request.addEventListener("abort", () => fail(signal.reason));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(bytes);
  });
}

/** @param {File} file */
async function digest(file) {
  const found = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return Array.from(new Uint8Array(found), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** One file on its way. */
class Sending {
  /** @param {File} file @param {string} where @param {HTMLElement} line */
  constructor(file, where, line) {
    this.file = file;
    this.where = where;
    this.line = line;
    this.stopping = new AbortController();
    this.key = crypto.randomUUID();
    /** @type {Map<number, number>} sent octets by part */
    this.sent = new Map();
    this.memory = `parvis upload ${where} ${file.name} ${file.size} ${file.lastModified}`;
    this.waits = false;
  }

  show() {
    const sent = Math.min(this.file.size, [...this.sent.values()].reduce((sum, one) => sum + one, 0));
    const percent = this.file.size ? Math.floor((100 * sent) / this.file.size) : 100;
    const bar = /** @type {HTMLProgressElement} */ (this.line.querySelector("progress"));
    bar.value = percent;
    const words = this.line.dataset;
    this.say(this.waits ? words.waiting ?? "" : `${percent} %`);
  }

  /** @param {string} words */
  say(words) {
    const place = /** @type {HTMLElement} */ (this.line.querySelector(".state"));
    if (place.textContent !== words) place.textContent = words;
  }

  /** @returns {Promise<Upload>} */
  async declare() {
    const known = localStorage.getItem(this.memory);
    if (known) {
      try {
        /** @type {Upload} */
        const before = await ask("GET", `${API}/uploads/${known}`, undefined, this.stopping.signal);
        if (before.state === "uploading" && before.part_bytes && before.size_bytes === this.file.size) return before;
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
      }
      localStorage.removeItem(this.memory);
    }
    /** @type {Record<string, unknown>} */
    const body = { size_bytes: this.file.size, media_type: this.file.type || "application/octet-stream" };
    if (this.where.includes("/folders/")) body.name = this.file.name;
    if (this.file.size <= SINGLE_BYTES_MAX) body.sha256 = await digest(this.file);
    /** @type {Upload} */
    const made = await ask("POST", this.where, body, this.stopping.signal, this.key);
    if (made.part_bytes) localStorage.setItem(this.memory, made.id);
    return made;
  }

  /** @param {boolean} waits */
  tell(waits) {
    this.waits = waits;
    this.show();
  }

  /** @returns {Promise<Upload>} */
  async run() {
    const signal = this.stopping.signal, tell = this.tell.bind(this);
    const upload = await patiently(() => this.declare(), signal, tell);
    this.upload = upload;
    if (upload.part_bytes && upload.parts) await this.sendParts(upload, upload.part_bytes, upload.parts);
    else await this.sendWhole(upload);
    const done = await patiently(() => ask("POST", `${API}/uploads/${upload.id}/complete`, {}, signal), signal, tell);
    localStorage.removeItem(this.memory);
    return done;
  }

  /** @param {Upload} upload */
  async sendWhole(upload) {
    const signal = this.stopping.signal;
    await patiently(async () => {
      const address = upload.put ?? (await this.declare()).put;
      if (!address) return; // committed by an attempt whose answer was lost
      await put(address, this.file, signal, (sent) => { this.sent.set(1, sent); this.show(); });
    }, signal, this.tell.bind(this));
  }

  /** @param {Upload} upload @param {number} size @param {number} count */
  async sendParts(upload, size, count) {
    const signal = this.stopping.signal, tell = this.tell.bind(this), parts = `${API}/uploads/${upload.id}/parts`;
    const found = await patiently(() => ask("POST", parts, { parts: [] }, signal), signal, tell);
    for (const one of found.stored) this.sent.set(one.number, one.size_bytes);
    this.show();
    const missing = Array.from({ length: count }, (_, at) => at + 1).filter((number) => !this.sent.has(number));
    const next = async () => {
      for (let number = missing.shift(); number !== undefined; number = missing.shift()) {
        const piece = this.file.slice((number - 1) * size, number * size), crc = crc64nvme(new Uint8Array(await piece.arrayBuffer())), at = number;
        await patiently(async () => {
          const signed = await ask("POST", parts, { parts: [{ number: at, crc64nvme: crc }] }, signal);
          await put(signed.parts[0].address, piece, signal, (sent) => { this.sent.set(at, sent); this.show(); });
          this.sent.set(at, piece.size);
        }, signal, tell);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, next));
    this.show();
  }

  /**
   * The file, where its name was taken and another was given to it.
   * @param {Upload} done @returns {Promise<{id: string, name: string} | null>}
   */
  async renamed(done) {
    if (!done.file_id || !this.where.includes("/folders/")) return null;
    const item = await ask("GET", `${API}/items/${done.file_id}`).catch(() => null); // it is stored all the same
    return item && item.name.normalize() !== this.file.name.normalize() ? item : null;
  }

  async abort() {
    this.stopping.abort(new DOMException("stopped", "AbortError"));
    localStorage.removeItem(this.memory);
    if (this.upload) await ask("DELETE", `${API}/uploads/${this.upload.id}`).catch(() => undefined);
  }
}

/** @param {HTMLElement} form @param {unknown} error */
function reason(form, error) {
  const words = form.dataset;
  if (error instanceof DOMException && error.name === "AbortError") return words.stopped ?? "";
  if (error instanceof Refused && error.code === "quota-exceeded") return words.quota ?? "";
  if (error instanceof Refused && error.status === 401) return words.signedOut ?? "";
  if (error instanceof Refused && (error.status === 403 || error.status === 404)) return words.forbidden ?? "";
  if (error instanceof Refused && error.code === "bad-name") return words.badName ?? "";
  if (error instanceof Refused && error.code === "in-trash") return words.inTrash ?? "";
  if (error instanceof Refused && error.status === 409) return words.conflict ?? "";
  if (error instanceof DOMException && error.name === "NotReadableError") return words.unreadable ?? "";
  return words.broken ?? "";
}

/** @param {HTMLFormElement} form */
function enhance(form) {
  const input = /** @type {HTMLInputElement} */ (form.querySelector("input[type=file]"));
  const list = /** @type {HTMLElement} */ (form.querySelector(".sendings"));
  const model = /** @type {HTMLTemplateElement} */ (form.querySelector("template"));
  const where = form.dataset.where ?? "";
  let running = 0, failures = 0;
  /** @type {string[]} */
  const kept = [];
  if (form.dataset.many) input.multiple = true;
  for (const note of form.querySelectorAll(".without")) note.remove();

  /** @param {File} file */
  const send = async (file) => {
    const line = /** @type {HTMLElement} */ (/** @type {DocumentFragment} */ (model.content.cloneNode(true)).firstElementChild);
    /** @type {HTMLElement} */ (line.querySelector(".name")).textContent = file.name;
    /** @type {HTMLElement} */ (line.querySelector("progress")).setAttribute("aria-label", file.name);
    list.append(line);
    const sending = new Sending(file, where, line), stop = /** @type {HTMLButtonElement} */ (line.querySelector("button"));
    stop.addEventListener("click", () => sending.abort());
    stop.setAttribute("aria-label", `${stop.textContent} ${file.name}`);
    running += 1;
    try {
      sending.show();
      const done = await sending.run();
      const other = await sending.renamed(done);
      if (other) kept.push(other.id);
      const words = done.state === "committed" ? form.dataset.done : form.dataset.checking;
      sending.say(other ? (form.dataset.keptAs ?? "").replace("…", () => other.name) : words ?? "");
      line.classList.add("well");
    } catch (error) {
      failures += 1;
      sending.say(reason(form, error));
      line.classList.add("wrong");
      console.info("upload", error instanceof Error ? error.message : error);
    } finally {
      stop.remove();
      running -= 1;
      if (!running && !failures) location.assign(`${location.pathname}?done=uploaded${kept.slice(0, KEPT_SHOWN).map((id) => `&kept=${id}`).join("")}`);
    }
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const files = Array.from(input.files ?? []);
    if (!files.length) { input.focus(); return; }
    failures = 0;
    input.value = "";
    for (const file of files) void send(file);
  });

  form.addEventListener("dragover", (event) => { event.preventDefault(); form.classList.add("over"); });
  form.addEventListener("dragleave", () => form.classList.remove("over"));
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    form.classList.remove("over");
    for (const file of Array.from(event.dataTransfer?.files ?? [])) void send(file);
  });

  addEventListener("beforeunload", (event) => { if (running) event.preventDefault(); });
}

// Without a secure context there is no SHA-256: the form then sends itself.
if (crypto?.subtle) for (const form of document.querySelectorAll("form.uploader")) enhance(/** @type {HTMLFormElement} */ (form));
