// Poses that somebody has saved, in the user's own folder of ComfyUI.

import { api } from '../../../scripts/api.js'
import { app } from '../../../scripts/app.js'

const FOLDER = 'contrapposto/poses'

export const library = {
  async names() {
    const answer = await api.fetchApi('/userdata?' + new URLSearchParams({ dir: FOLDER, recurse: 'false', split: 'false' }))
    if (!answer.ok) return [] // nothing saved yet
    return (await answer.json()).filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -5)).sort()
  },
  async load(name) {
    const answer = await api.getUserData(`${FOLDER}/${name}.json`)
    if (!answer.ok) throw new Error(`The pose ${name} is not there any more.`)
    return answer.json()
  },
  /** Asks for a name; resolves to whether the pose was saved. */
  async save(row) {
    const ask = app.extensionManager?.dialog?.prompt
    const question = { title: 'Save pose', message: 'Name of the pose:', defaultValue: '' }
    const name = ask ? await ask.call(app.extensionManager.dialog, question) : window.prompt(question.message)
    const clean = name?.trim().replace(/[^\p{L}\p{N} _-]/gu, '').slice(0, 60)
    if (!clean) return false
    if ((await this.names()).includes(clean)) throw new Error(`There is a pose named ${clean}; choose another name.`)
    const options = { overwrite: false, stringify: true, throwOnError: true, full_info: false } // all of them: each one left out is off
    await api.storeUserData(`${FOLDER}/${clean}.json`, row, options)
    return true
  }
}
