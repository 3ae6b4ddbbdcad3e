// A report to read and to copy.

import { addElement, make, onMessage } from './dom.js'

export function reportPanel(node) {
  const { element } = addElement(node, 'report', 'CONTRAPPOSTO_REPORT', 260, { serialize: false, getValue: () => '', setValue: () => {} })
  const text = make('pre', 'cpw-report', element, { textContent: 'Run to see the report.' })
  text.dataset.captureWheel = 'true' // so Nodes 2.0 lets it scroll
  for (const name of ['wheel', 'pointerdown']) text.addEventListener(name, (event) => event.stopPropagation())
  const copy = make('button', 'cpw-button', element, { textContent: 'Copy report' })
  copy.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(text.textContent)
      copy.textContent = 'Copied'
    } catch {
      copy.textContent = 'Select the text and copy it'
    }
  })
  onMessage(node, (message) => ([text.textContent, copy.textContent] = [message.text, 'Copy report']))
}
