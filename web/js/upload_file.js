// An upload button, and dropping files, for nodes whose drop-down lists files in ComfyUI's input folder.
// The node's input says so itself: {"contrapposto_upload": {"accept": [".glb", ...], "with": [".bin", ...], "suffix": " [input]"}}.
import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";

const LABEL = "choose file to upload";

function endsWithAny(name, endings) {
  return endings.some((ending) => name.toLowerCase().endsWith(ending));
}

async function send(file) {
  const form = new FormData();
  form.append("image", file, file.name); // the field's name is ComfyUI's, whatever the file is
  form.append("type", "input");
  const answer = await api.fetchApi("/upload/image", { method: "POST", body: form });
  if (answer.status !== 200) throw new Error(`${file.name} was not taken (${answer.status} ${answer.statusText})`);
  const { name, subfolder } = await answer.json();
  return subfolder ? `${subfolder}/${name}` : name;
}

async function upload(node, widget, { accept, with: companions = [], suffix = "" }, files) {
  const wanted = files.filter((file) => endsWithAny(file.name, [...accept, ...companions]));
  try {
    if (!wanted.some((file) => endsWithAny(file.name, accept))) throw new Error(`Give a file of the type ${accept.join(", ")}.`);
    const isMain = (file) => endsWithAny(file.name, accept);
    const companionsFirst = wanted.toSorted((a, b) => isMain(a) - isMain(b)); // textures, bone maps: there when the file is chosen
    for (const file of companionsFirst) {
      const name = (await send(file)) + suffix;
      if (!isMain(file)) continue;
      if (!widget.options.values.includes(name)) widget.options.values.push(name);
      widget.value = name;
      widget.callback?.(name);
    }
    app.graph.setDirtyCanvas(true, true);
  } catch (error) {
    const toast = app.extensionManager?.toast;
    if (toast) toast.add({ severity: "error", summary: "Upload", detail: error.message, life: 8000 });
    else alert(error.message);
  }
}

app.registerExtension({
  name: "contrapposto.uploadFile",
  nodeCreated(node) {
    const inputs = { ...node.constructor.nodeData?.input?.required, ...node.constructor.nodeData?.input?.optional };
    for (const [name, spec] of Object.entries(inputs)) {
      const how = spec?.[1]?.contrapposto_upload;
      const widget = how && node.widgets?.find((candidate) => candidate.name === name);
      if (!widget) continue;
      const choose = () => {
        const picker = document.createElement("input");
        picker.type = "file";
        picker.multiple = true;
        picker.accept = [...how.accept, ...(how.with ?? [])].join(",");
        picker.onchange = () => upload(node, widget, how, [...picker.files]);
        picker.click();
      };
      // Last, because values saved in a workflow go by order.
      const button = node.addWidget("button", `upload_${name}`, null, choose, { serialize: false });
      button.label = LABEL;
      button.serialize = false;
      node.onDragOver = (event) => [...(event?.dataTransfer?.items ?? [])].some((item) => item.kind === "file");
      node.onDragDrop = (event) => {
        const files = [...(event.dataTransfer?.files ?? [])].filter((file) => endsWithAny(file.name, how.accept));
        if (files.length) upload(node, widget, how, [...event.dataTransfer.files]);
        return files.length > 0;
      };
    }
  },
});
