// The course's front door in JupyterLab: dashboard.ipynb opens as its running Voilà page, in a tab of
// JupyterLab, and that tab is there when JupyterLab starts in the course's folder.
//
// This is a federated extension written by hand: no build step. JupyterLab loads this file, looks for
// `_JUPYTERLAB[<name in package.json>]`, and hands its shared packages to `init`. Voilà's own preview is no
// way in: it asks whether the notebook is to be trusted, in every fresh checkout.

const NAME = "roadmap-front-door";
const PAGE = "dashboard.ipynb";
const FACTORY = "Course dashboard";

let sharedPackages = {};

async function shared(name) {
  const versions = Object.values(sharedPackages[name] ?? {});
  const provider = versions.find((version) => version.loaded) ?? versions[0];
  if (!provider) throw new Error(`${NAME}: JupyterLab shares no package ${name}`);
  return (await provider.get())();
}

function pageConfig() {
  return JSON.parse(document.getElementById("jupyter-config-data")?.textContent ?? "{}");
}

/**
 * Open one of the learner's copies when a dashboard asks for it: the page in one of our frames, or a widget in
 * a notebook of this window. The answer goes back over the port that came along; a dashboard that gets none
 * takes JupyterLab's command links instead, about which JupyterLab asks the reader first.
 */
function openOnRequest(app, frames) {
  window.addEventListener("message", async (event) => {
    const path = event.data?.[NAME]?.open;
    const asked = event.source === window || [...frames].some((frame) => frame.contentWindow === event.source);
    if (!path || !asked || event.origin !== window.location.origin) return;
    // What a dashboard may open is a notebook under work/, and nothing else.
    if (typeof path !== "string" || !/^([^/]+\/)*work\/([^/.][^/]*\/)*[^/.][^/]*\.ipynb$/.test(path)) return;
    event.ports[0]?.postMessage("opening");
    await app.commands.execute("docmanager:open", { path });
  });
}

async function makeFactory(app, frames) {
  const { Widget } = await shared("@lumino/widgets");
  const { ABCWidgetFactory, DocumentWidget } = await shared("@jupyterlab/docregistry");

  class Page extends Widget {
    constructor(path) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.title = "The course's dashboard";
      this.frame.style.cssText = "width: 100%; height: 100%; border: 0; display: block;";
      this.node.append(this.frame);
      frames.add(this.frame);
      this.show(path);
    }

    show(path) {
      const { baseUrl } = app.serviceManager.serverSettings;
      this.frame.src = `${baseUrl}voila/render/${path.split("/").map(encodeURIComponent).join("/")}`;
    }

    onBeforeDetach(message) {
      // A frame that is taken out of the page gets no `beforeunload`, by which Voilà ends its kernel.
      this.frame.contentWindow?.dispatchEvent(new Event("beforeunload"));
      super.onBeforeDetach(message);
    }

    dispose() {
      frames.delete(this.frame);
      super.dispose();
    }
  }

  return new (class extends ABCWidgetFactory {
    createNewWidget(context) {
      const content = new Page(context.localPath);
      content.title.iconClass = "jp-MaterialIcon jp-HomeIcon";
      const widget = new DocumentWidget({ context, content });
      widget.toolbar.hide();
      context.pathChanged.connect(() => content.show(context.localPath));
      return widget;
    }
  })({
    name: FACTORY,
    label: FACTORY,
    fileTypes: ["course-dashboard"],
    defaultFor: ["course-dashboard"],
    modelName: "text", // the page reads the file itself: no notebook model, hence no question about trust
    readOnly: true,
  });
}

async function land(app) {
  const asked = pageConfig().treePath ?? "";
  if (asked && asked !== PAGE) return; // a link to one notebook opens that one
  const entry = await app.serviceManager.contents.get(PAGE, { content: false }).catch(() => null);
  if (entry) await app.commands.execute("docmanager:open", { path: PAGE, factory: FACTORY });
}

const plugin = {
  id: `${NAME}:plugin`,
  description: "Opens the course's dashboard as a running page.",
  autoStart: true,
  async activate(app) {
    if (app.name !== "JupyterLab") return; // Voilà and Notebook 7 load extensions as well
    app.docRegistry.addFileType({
      name: "course-dashboard",
      displayName: "Course dashboard",
      pattern: "^dashboard\\.ipynb$",
      extensions: [],
      mimeTypes: ["application/x-ipynb+json"],
      contentType: "notebook",
      fileFormat: "json",
      iconClass: "jp-MaterialIcon jp-HomeIcon",
    });
    const frames = new Set();
    app.docRegistry.addWidgetFactory(await makeFactory(app, frames));
    openOnRequest(app, frames);
    app.restored
      .then(() => land(app))
      .catch((error) => console.error(`${NAME}: the dashboard could not be opened`, error));
  },
};

globalThis._JUPYTERLAB ??= {};
globalThis._JUPYTERLAB[NAME] = {
  init(scope) {
    sharedPackages = scope;
  },
  async get() {
    return () => ({ __esModule: true, default: plugin });
  },
};
