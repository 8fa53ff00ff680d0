# Read by every kernel of this environment; the extension is inert outside the course's work/.
c = get_config()  # type: ignore[name-defined]  # noqa: F821 - traitlets' loader puts it here
c.IPKernelApp.extensions.append("roadmap_progress.tracking")
