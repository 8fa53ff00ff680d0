// The living page: puts in the parts that Python sends, and makes links open the learner's own copies.
// What is shown, and in which words, is decided in Python (view.py, page.py): this file knows no progress.

const ANSWER_MS = 10_000;
const FRONT_DOOR = "roadmap-front-door"; // the JupyterLab extension that opens what we ask for

/** Where this page runs: its own window, or JupyterLab's when it is a frame in one of its tabs. */
function surroundings() {
  const inVoila = document.body.dataset.voila !== undefined;
  let lab = inVoila ? null : window;
  try {
    if (inVoila && window.parent !== window && window.parent.document.getElementById("jupyter-config-data")) {
      lab = window.parent;
    }
  } catch {
    // a frame in a page of another origin: not JupyterLab's
  }
  const config = JSON.parse((lab ?? window).document.getElementById("jupyter-config-data")?.textContent ?? "{}");
  const voila = inVoila ? /\/voila\/render\/(.+)$/.exec(window.location.pathname) : null;
  return {
    inVoila,
    lab,
    baseUrl: config.baseUrl ?? "/",
    serverRoot: config.serverRoot ?? null,
    page: voila ? decodeURIComponent(voila[1]) : null,
  };
}

/** Brings one part up to date, and leaves alone what the reader has opened and where the keyboard is. */
function put(host, key, html, index, drawn) {
  let part = host.querySelector(`:scope > [data-part="${CSS.escape(key)}"]`);
  if (!part) {
    part = document.createElement("div");
    part.dataset.part = key;
  }
  if (host.children[index] !== part) host.insertBefore(part, host.children[index] ?? null);
  if (part.html === html) return;
  const first = part.html === undefined;
  const open = new Map([...part.querySelectorAll("details[data-key]")].map((el) => [el.dataset.key, el.open]));
  const points = new Map([...part.querySelectorAll("[data-points]")].map((el) => [el.dataset.key, el.dataset.points]));
  const focused = part.contains(document.activeElement) ? focusKey(document.activeElement) : null;
  part.innerHTML = html;
  part.html = html;
  drawn();
  for (const el of part.querySelectorAll("time")) {
    el.textContent = new Date(el.dateTime).toLocaleString(undefined, { dateStyle: "long", timeStyle: "short" });
  }
  if (first) return;
  for (const el of part.querySelectorAll("details[data-key]")) el.open = open.get(el.dataset.key) ?? el.open;
  for (const el of part.querySelectorAll("[data-points]")) {
    if (points.has(el.dataset.key) && points.get(el.dataset.key) !== el.dataset.points) el.classList.add("rdm-moved");
  }
  if (focused) findFocus(part, focused)?.focus({ preventScroll: true });
}

/** Puts other HTML into an element, with the keyboard where it was. */
function replace(el, html) {
  const focused = el.contains(document.activeElement) ? focusKey(document.activeElement) : null;
  el.innerHTML = html;
  if (focused) findFocus(el, focused)?.focus({ preventScroll: true });
}

function focusKey(el) {
  return el.tagName === "SUMMARY" ? `summary ${el.parentElement.dataset.key}` : el.dataset.key;
}

function findFocus(part, key) {
  if (key.startsWith("summary ")) return part.querySelector(`details[data-key="${CSS.escape(key.slice(8))}"] > summary`);
  return part.querySelector(`[data-key="${CSS.escape(key)}"]`);
}

function keepTheme(root, { inVoila, lab }) {
  const night = window.matchMedia("(prefers-color-scheme: dark)");
  const names = ["layout-color0", "layout-color1", "layout-color2", "border-color2", "ui-font-color0", "ui-font-color1"];
  const dark = ["#1d2026", "#15171b", "#2a2e37", "#3a3f4b", "#f1f3f7", "#c5cad4"];
  const apply = () => {
    const fromLab = lab?.document.body.dataset.jpThemeLight;
    const isDark = fromLab === undefined ? night.matches : fromLab === "false";
    root.dataset.theme = isDark ? "dark" : "light";
    if (!inVoila) return; // JupyterLab's variables reach the page by themselves
    const theirs = lab ? lab.getComputedStyle(lab.document.body) : null;
    names.forEach((name, index) => {
      const value = theirs?.getPropertyValue(`--jp-${name}`) || (isDark ? dark[index] : "");
      root.style.setProperty(`--jp-${name}`, value);
      if (!value) root.style.removeProperty(`--jp-${name}`);
    });
    document.documentElement.style.colorScheme = isDark ? "dark" : "light";
    document.body.style.background = getComputedStyle(root).backgroundColor;
  };
  apply();
  night.addEventListener("change", apply);
  const observer = new MutationObserver(() => {
    apply();
    window.setTimeout(apply, 300); // the theme's style sheet arrives after its name
  });
  if (lab) observer.observe(lab.document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name"] });
  return () => {
    night.removeEventListener("change", apply);
    observer.disconnect();
  };
}

/** Opens a file as a tab of JupyterLab: here, when this page is in it, else in a browser tab of its own. */
function show(path, where, tab, root) {
  const url = `${where.baseUrl}lab/tree/${path.split("/").map(encodeURIComponent).join("/")}`;
  if (!where.lab) {
    if (tab) tab.location = url;
    else window.open(url, "_blank");
    return;
  }
  const channel = new MessageChannel();
  const timer = window.setTimeout(() => followCommandLink(path, url, where.lab === window ? root : where.lab.document.body), 700);
  channel.port1.onmessage = () => window.clearTimeout(timer);
  where.lab.postMessage({ [FRONT_DOOR]: { open: path } }, window.location.origin, [channel.port2]);
}

/**
 * JupyterLab without our extension: it runs the command named on a link that is clicked, once the reader has
 * agreed (or at once, in a notebook that is trusted). A plain link would leave the page, and unsaved work.
 */
function followCommandLink(path, url, parent) {
  const link = parent.ownerDocument.createElement("a");
  link.href = url;
  link.dataset.commandlinkerCommand = "docmanager:open";
  link.dataset.commandlinkerArgs = JSON.stringify({ path });
  link.style.display = "none";
  parent.append(link);
  link.click();
  link.remove();
}

function render({ model, el }) {
  const where = surroundings();
  const root = document.createElement("div");
  root.className = "rdm";
  root.dataset.live = "";
  if (where.inVoila) {
    root.classList.add("rdm-alone");
    root.setAttribute("role", "main"); // JupyterLab has one already
    document.documentElement.lang ||= "en";
  }
  const live = document.createElement("div");
  live.className = "rdm-hidden";
  live.setAttribute("aria-live", "polite");
  const trouble = document.createElement("div");
  trouble.className = "rdm-trouble";
  const host = document.createElement("div");
  host.className = "rdm-page";
  root.append(live, trouble, host);
  el.append(root);

  const waiting = new Map();
  let requests = 0;

  const complain = (title, text, button) => {
    trouble.innerHTML =
      '<div class="rdm-notice" data-level="error" role="alert"><div><strong></strong> <span></span></div></div>';
    trouble.querySelector("strong").textContent = title;
    trouble.querySelector("span").textContent = text;
    if (button) trouble.querySelector(".rdm-notice > div").append(button);
    trouble.scrollIntoView({ block: "nearest" });
  };

  const silence = () => {
    const text = where.inVoila
      ? "The program behind this page has ended. Nothing is lost: load the page again."
      : "The notebook's kernel is busy or has ended. Nothing is lost: run the cell again (Shift+Enter).";
    let reload = null;
    if (where.inVoila) {
      reload = document.createElement("button");
      reload.type = "button";
      reload.textContent = "Load the page again";
      reload.addEventListener("click", () => window.location.reload());
    }
    complain("The dashboard does not answer.", text, reload);
  };

  const tell = (title, text, problems) => {
    trouble.innerHTML = '<div class="rdm-notice" role="status"><div><strong></strong> <span></span><ul></ul></div></div>';
    trouble.firstChild.dataset.level = problems.length ? "warning" : "note";
    trouble.querySelector("strong").textContent = title;
    trouble.querySelector("span").textContent = text;
    for (const problem of problems) {
      trouble.querySelector("ul").append(Object.assign(document.createElement("li"), { textContent: problem }));
    }
    trouble.scrollIntoView({ block: "nearest" });
  };

  const ask = (message, done, buffers) => {
    const request = ++requests;
    const timer = window.setTimeout(() => {
      waiting.delete(request);
      done(null);
      silence();
    }, ANSWER_MS);
    waiting.set(request, (reply, attached) => {
      window.clearTimeout(timer);
      trouble.replaceChildren();
      if (reply.type === "refused") complain("That did not work.", reply.text);
      done(reply.type === "refused" ? null : reply, attached);
    });
    model.send({ ...message, request, server_root: where.serverRoot, page: where.page }, undefined, buffers);
  };

  /** Asks for a file, and lets the browser save it. */
  const save = (message, title, kind) => {
    ask(message, (reply, attached) => {
      if (!reply) return;
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob(attached, { type: kind }));
      link.download = reply.name;
      root.append(link);
      link.click();
      link.remove();
      window.setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
      tell(title, `your browser saves it as ${reply.name}. Keep it where you find it again.`, reply.problems);
    });
  };

  const restorePassport = async (file) => {
    ask(
      { type: "restore" },
      (reply) => reply && tell("Restored:", reply.text, reply.problems),
      [await file.arrayBuffer()],
    );
  };

  const choosePassport = () => {
    const input = Object.assign(document.createElement("input"), { type: "file", accept: ".passport" });
    input.addEventListener("change", () => input.files[0] && restorePassport(input.files[0]));
    input.click();
  };

  const compare = (target) => {
    ask({ type: "compare", notebook: target.dataset.number, exercise: target.dataset.compare }, (reply) => {
      if (!reply) return;
      const dialog = document.createElement("dialog");
      dialog.className = "rdm-compare";
      dialog.setAttribute("aria-labelledby", "rdm-compare");
      dialog.innerHTML = reply.html;
      dialog.addEventListener("close", () => dialog.remove());
      dialog.addEventListener("keydown", (event) => event.stopPropagation()); // JupyterLab has shortcuts of its own
      root.append(dialog);
      dialog.showModal();
    });
  };

  const carriesFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  const hover = (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    event.stopPropagation(); // JupyterLab would upload it
  };
  const drop = (event) => {
    if (!carriesFile(event)) return;
    hover(event);
    if (event.dataTransfer.files[0]) restorePassport(event.dataTransfer.files[0]);
  };

  const open = (target, over) => {
    if (target.getAttribute("aria-busy") === "true") return;
    target.setAttribute("aria-busy", "true");
    // Asked for while the click lasts, or the browser takes it for a pop-up.
    const tab = where.lab ? null : window.open("", "_blank");
    const wanted = target.dataset.review
      ? { type: "review", notebook: target.dataset.number, exercise: target.dataset.review }
      : { type: "open", notebook: target.dataset.open ?? target.dataset.startOver, kind: target.dataset.kind, over };
    ask(wanted, (reply) => {
      target.removeAttribute("aria-busy");
      if (reply?.path) {
        show(reply.path, where, tab, root);
        return;
      }
      tab?.close();
      if (reply) complain("Your copy is ready, but lies outside JupyterLab's folder.", `Open it from there: ${reply.file}`);
    });
  };

  const act = (event) => {
    const target = event.target.closest?.("[data-open], [data-start-over], [data-review], [data-assess], [data-compare], [data-save], [data-restore]");
    if (!target || event.button > 1) return;
    event.preventDefault();
    event.stopPropagation();
    if (target.dataset.save !== undefined) save({ type: "save" }, "Your passport:", "application/octet-stream");
    else if (target.dataset.restore !== undefined) choosePassport();
    else if (target.dataset.compare) compare(target);
    else if (target.dataset.assess) ask({ type: "assess", check: target.dataset.assess }, () => {});
    else open(target, target.dataset.startOver !== undefined);
  };

  let settled = false; // the map, which takes the longest to draw, comes once the rest can be used
  window.setTimeout(() => {
    settled = true;
    draw();
  }, 40);
  const restoreMap = keepMap(root, (section) => model.get("parts")[`near-${section}`]);
  const draw = () => {
    const parts = Object.entries(model.get("parts")).filter(([key]) => !key.startsWith("near-"));
    const keys = new Set(parts.map(([key]) => key));
    for (const part of [...host.children]) if (!keys.has(part.dataset.part)) part.remove();
    parts.forEach(([key, html], index) => put(host, key, key === "map" && !settled ? "" : html, index, restoreMap));
    restoreMap();
  };
  const say = () => {
    live.textContent = model.get("said");
  };
  const hear = (reply, attached) => {
    waiting.get(reply.to)?.(reply, attached);
    waiting.delete(reply.to);
  };

  root.addEventListener("submit", (event) => {
    if (event.target.dataset.recordForm === undefined) return;
    event.preventDefault();
    const name = event.target.querySelector("input").value;
    save({ type: "record", name }, "Your record:", "text/html");
  });
  root.addEventListener("click", act);
  root.addEventListener("auxclick", act);
  root.addEventListener("dragover", hover);
  root.addEventListener("drop", drop);
  model.on("change:parts", draw);
  model.on("change:said", say);
  model.on("msg:custom", hear);
  const stopTheme = keepTheme(root, where);
  draw();
  return () => {
    stopTheme();
    model.off("change:parts", draw);
    model.off("change:said", say);
    model.off("msg:custom", hear);
  };
}

export default { render };
