const CSS = `
.cp-editor{display:flex;flex-direction:column;width:100%;height:100%;min-height:0;background:#1b1d21;border-radius:6px;overflow:hidden;
font:11px/1.3 system-ui,sans-serif;color:#d6dae0;user-select:none}
.cp-bar{display:flex;flex-wrap:wrap;gap:3px;padding:4px;align-items:center;background:#1b1d21}
.cp-bar:empty{display:none}
.cp-group{display:inline-flex;gap:2px;align-items:center;margin-left:auto}
.cp-library{margin-left:auto}
.cp-button{background:#31353c;color:#e3e6ea;border:0;border-radius:4px;padding:3px 6px;font:inherit;cursor:pointer}
.cp-button:hover{background:#434952}
.cp-button:focus-visible,.cp-select:focus-visible{outline:2px solid #6aa9ff}
.cp-button:disabled{opacity:.38;cursor:default;background:#31353c}
.cp-select{background:#31353c;color:#e3e6ea;border:0;border-radius:4px;padding:3px;font:inherit;max-width:130px}
.cp-stage{position:relative;flex:1;min-height:0;outline:none;overflow:hidden}
.cp-stage:focus-visible{box-shadow:inset 0 0 0 1px #6aa9ff}
.cp-label{position:absolute;left:6px;right:6px;bottom:5px;color:#9aa2ad;pointer-events:none;text-shadow:0 1px 2px #000}
.cp-label.cp-chosen{color:#ffe96a;font-weight:600}
.cp-notice{position:absolute;left:8px;right:8px;top:8px;background:#4a3a1dee;color:#ffdf9e;border-radius:4px;padding:6px 8px;pointer-events:none}
.cp-notice:empty{display:none}
.cp-count{padding:0 4px;white-space:nowrap}
.cp-sliders{display:grid;grid-template-columns:auto 1fr 4em;gap:4px 8px;padding:8px;align-items:center}
.cp-bar input[type=range]{flex:1;min-width:60px;accent-color:#6aa9ff}
`

export function addStyle() {
  if (document.getElementById('contrapposto-style')) return
  const style = document.createElement('style')
  style.id = 'contrapposto-style'
  style.textContent = CSS
  document.head.append(style)
}
