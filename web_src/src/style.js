// The colours around the 3D picture are those of ComfyUI's theme; the picture itself is a dark studio in every theme.
const CSS = `
.cp-editor{display:flex;flex-direction:column;gap:3px;width:100%;height:100%;min-height:0;font:11px/1.3 system-ui,sans-serif;color:var(--input-text,#d6dae0);user-select:none}
.cp-bar{display:flex;flex-wrap:wrap;gap:2px;padding:1px 0;align-items:center}
.cp-bar:empty{display:none}
.cp-group{display:inline-flex;gap:2px;align-items:center;margin-left:auto}
.cp-button,.cp-select{background:var(--comfy-input-bg,#31353c);color:var(--input-text,#e3e6ea);border:1px solid var(--border-color,#4e4e4e);border-radius:4px;padding:2px 5px;
font:inherit}
.cp-button{cursor:pointer}
.cp-button:hover:not(:disabled){filter:brightness(1.12)}
.cp-button:focus-visible,.cp-select:focus-visible{outline:2px solid #4a90ff;outline-offset:1px}
.cp-button:disabled{opacity:.4;cursor:default}
.cp-select{max-width:130px;padding:2px}
.cp-stage{position:relative;flex:1;min-height:0;outline:none;overflow:hidden;border-radius:6px;background:#23262b}
.cp-stage:focus-visible{box-shadow:0 0 0 1px #4a90ff}
.cp-label{position:absolute;left:7px;right:7px;bottom:6px;color:#b4bcc7;pointer-events:none;text-shadow:0 1px 2px #000}
.cp-label.cp-chosen{color:#ffe96a;font-weight:600}
.cp-notice{background:#f0c05a;color:#2b2000;border-radius:4px;padding:6px 8px;white-space:pre-line;overflow-wrap:anywhere}
.cp-stage>.cp-notice{position:absolute;left:8px;right:8px;top:8px;pointer-events:none}
.cp-notice:empty{display:none}
.cp-count{padding:0 4px;white-space:nowrap;font-variant-numeric:tabular-nums}
.cp-sliders{display:grid;grid-template-columns:auto 1fr 4em;gap:6px 8px;padding:6px 0;align-items:center}
.cp-sliders span:last-child,.cp-sliders span:nth-child(3n){text-align:right;font-variant-numeric:tabular-nums}
.cp-bar input[type=range]{flex:1;min-width:60px}
.cp-editor input[type=range]{accent-color:#4a90ff}
`

export function addStyle() {
  if (document.getElementById('contrapposto-style')) return
  const style = document.createElement('style')
  style.id = 'contrapposto-style'
  style.textContent = CSS
  document.head.append(style)
}
