// What the pack's widgets have in common: an HTML element inside a node, its style, the 3D views that come on demand.

import { api } from '../../../scripts/api.js'
import { app } from '../../../scripts/app.js'

const CSS = `
.cpw{width:100%;height:100%;display:flex;flex-direction:column;gap:4px;font:11px/1.3 system-ui,sans-serif;color:var(--input-text,#ddd)}
.cpw-button{background:var(--comfy-input-bg,#31353c);color:var(--input-text,#e3e6ea);border:1px solid var(--border-color,#4e4e4e);border-radius:4px;padding:5px 8px;
font:inherit;cursor:pointer}
.cpw-button:hover{filter:brightness(1.12)}
.cpw-button:focus-visible,.cpw-tile:focus-visible{outline:2px solid #4a90ff;outline-offset:1px}
.cpw-note{padding:6px 8px;border-radius:4px;background:#f0c05a;color:#2b2000}
.cpw-note:empty,.cpw-button:empty{display:none}
.cpw-grid{flex:1;min-height:0;contain:size;overflow:auto;display:grid;gap:4px;padding:2px;align-content:start;grid-auto-rows:max-content;
grid-template-columns:repeat(auto-fill,minmax(96px,1fr))}
.cpw-hint{grid-column:1/-1;color:var(--descrip-text,#999)}
.cpw-tile{position:relative;cursor:pointer;border-radius:5px;overflow:hidden;border:2px solid transparent;background:#e9e9e9}
.cpw-tile img{display:block;width:100%;aspect-ratio:1;color:#555}
.cpw-tile[aria-selected=true]{border-color:#4a90ff}
.cpw-number,.cpw-lock{position:absolute;top:3px;padding:0 5px;border-radius:8px;color:#fff;background:#0009}
.cpw-number{left:3px}
.cpw-lock{right:3px}
.cpw-tile[aria-selected=true] .cpw-number{background:#2f6fd0}
.cpw-locked .cpw-lock{background:#b0721a}
.cpw-report{flex:1;min-height:0;overflow:auto;margin:0;padding:6px;background:var(--comfy-input-bg,#16181b);color:var(--input-text,#d6dae0);
font:11px/1.4 monospace;border-radius:6px;user-select:text}
`

export const viewUrl = (file) => api.apiURL('/view?' + new URLSearchParams(file))

let views3d
/** The 3D views: a large file that is fetched when the first node wants it. */
export function loadViews() {
  views3d ??= import('./views3d.mjs').catch((error) => {
    views3d = undefined // the next node tries again
    throw error
  })
  return views3d
}

/** A widget that is an HTML element as wide as the node and at least `height` pixels high. */
export function addElement(node, name, type, height, options) {
  addStyle()
  const element = make('div', 'cpw')
  element.style.minHeight = `${height}px`
  const widget = node.addDOMWidget(name, type, element, { hideOnZoom: false, getMinHeight: () => height, ...options })
  keepSeat(node, element, name)
  return { element, widget }
}

// Nodes 2.0 keeps its part of the page when a node is made anew under the same number, as an undo does, and in it the element of the
// node that is gone. So an element that leaves says whose it was, and the one that comes takes its seat.
function keepSeat(node, element, name) {
  after(node, 'onAdded', () => setTimeout(() => {
    if (element.isConnected) return
    document.querySelector(`[data-contrapposto-left="${node.id} ${name}"]`)?.replaceWith(element)
  }))
  after(node, 'onRemoved', () => (element.dataset.contrappostoLeft = `${node.id} ${name}`))
}

/** Does something whenever ComfyUI calls one of the node's `on...` functions. */
export function after(node, name, action) {
  const before = node[name]
  node[name] = function (...given) {
    const answer = before?.apply(this, given)
    action(...given)
    return answer
  }
}

/** Does something with what a run sent to the node. */
export const onMessage = (node, action) => after(node, 'onExecuted', (output) => output?.contrapposto?.[0] && action(output.contrapposto[0]))

/** Tells ComfyUI that a value has changed, so that it can be undone and is saved. */
export function changed(node) {
  node.graph?.setDirtyCanvas(true, true)
  const tracker = app.extensionManager?.workflow?.activeWorkflow?.changeTracker
  const note = tracker?.captureCanvasState ?? tracker?.checkState // its older name
  note?.call(tracker)
}

export function make(tag, className, parent, properties) {
  const element = Object.assign(document.createElement(tag), { className, ...properties })
  parent?.append(element)
  return element
}

function addStyle() {
  if (!document.getElementById('contrapposto-widgets')) make('style', '', document.head, { id: 'contrapposto-widgets', textContent: CSS })
}
