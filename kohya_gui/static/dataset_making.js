// What the dataset page makes anew: uploaded folders, copies in the form that training reads, balanced repeats; and masks.
(() => {
  const { make, put, button, number, copier } = window.kit
  const { part, labelled, call } = window.datasetTools
  const t = window.t
  const field = (id, more = {}) => make("input", { id, type: "text", spellcheck: "false", autocomplete: "off", ...more })
  const last = (path) => path.replace(/[\\/]+$/, "").split(/[\\/]/).pop() || ""

  // Places that were made, by the settings they are for: to be copied, or put into the form of the Train page.
  function shown(key, path) {
    return make("p", { class: "made" }, make("span", {}, key), make("code", {}, path), copier(t("Copy"), () => path))
  }
  const NOWHERE = { train_data_dir: "", reg_data_dir: "", dataset_config: "", in_json: "" }
  const use = (words, places) => button(words, () => {
    const [place] = Object.values(places)
    window.bringToForm({ ...NOWHERE, ...places }, t("The images of {place} are in the form.", { place }))
  }, { class: "main use" })
  function made(places) {
    const given = Object.fromEntries(Object.entries(places).filter(([, path]) => path))
    return [...Object.entries(given).map(([key, path]) => shown(key, path)), make("div", { class: "buttons" }, use(t("Train with it"), given))]
  }
  const sentence = (error) => make("p", { class: "bad" }, error.message)

  function upload(page) {
    const name = field("ds-upload-name", { placeholder: t("such as my pictures") })
    const files = make("input", { id: "ds-upload-files", type: "file", multiple: true, accept: "image/*,.txt,.caption,.cap" })
    const said = make("div", { role: "status" })
    const start = button(t("Upload"), () => send(), { class: "main", id: "ds-upload" })
    async function one(file) {
      const where = new URLSearchParams({ name: file.name, folder: name.value })
      const { folder } = await window.kit.call(`dataset/upload?${where}`, { method: "POST", headers: { "x-live": "1" }, body: file })
      return folder
    }
    async function send() {
      const wanted = [...files.files], refused = [], before = page.folder
      if (!name.value.trim() || !wanted.length) return put(said, make("p", { class: "warn" }, t("Give the new folder a name and choose the files first.")))
      start.disabled = true
      let folder = ""
      for (const [place, file] of wanted.entries()) {
        put(said, make("p", {}, t("{done} of {all} files …", { done: number(place), all: number(wanted.length) })), make("progress", { max: wanted.length, value: place }))
        try { folder = await one(file) } catch (error) { refused.push(error.message) }
      }
      start.disabled = false
      put(said, make("p", { class: "good" }, t("{count} files were uploaded.", { count: number(wanted.length - refused.length) })), ...refused.slice(0, 10).map((words) => make("p", { class: "bad" }, words)),
        folder && page.folder !== before && make("div", { class: "buttons" }, button(t("Open"), () => page.open(folder))))
      if (folder && page.folder === before) await page.open(folder)
    }
    return part(t("Upload pictures"), false, make("p", { class: "quiet" }, t("Pictures and their caption files become a new folder on the machine that the app runs on.")),
      labelled(t("Name of the new folder"), name), labelled(t("Files"), files), make("div", { class: "buttons" }, start), said)
  }

  function prepare(page) {
    const words = field("ds-identifier", { placeholder: "sks" }), kind = field("ds-class", { placeholder: "dog" }), name = field("ds-set")
    const repeats = make("input", { id: "ds-repeats", type: "number", min: 1, value: 10 })
    const reg = field("ds-reg", { placeholder: t("none") }), regRepeats = make("input", { id: "ds-reg-repeats", type: "number", min: 1, value: 1 })
    const said = make("div", { role: "status" })
    const start = button(t("Make the copies"), async () => {
      start.disabled = true
      put(said, make("p", {}, t("Copying …")))
      const parts = [{ folder: page.folder, repeats: Number(repeats.value), words: `${words.value} ${kind.value}`.trim() }]
      if (reg.value.trim()) parts.push({ folder: reg.value.trim(), repeats: Number(regRepeats.value), words: kind.value || words.value, is_reg: true })
      try {
        const done = await call("prepare", null, { name: name.value, parts })
        put(said, make("p", { class: "good" }, t("{count} files were copied; the originals stay as they were.", { count: number(done.files) })),
          ...made({ train_data_dir: done.train_data_dir, reg_data_dir: done.reg_data_dir }))
      } catch (error) { put(said, sentence(error)) }
      start.disabled = false
    }, { class: "main", id: "ds-prepare" })
    document.addEventListener("dataset-opened", ({ detail }) => { name.value = last(detail.path).replace(/^\d+_/, ""); put(said) })
    return part(t("Prepare for training"), false, make("p", { class: "quiet" }, t("Copies the open folder into one named <repeats>_<identifier> <class>, as training reads it. Nothing is moved or deleted.")),
      make("div", { class: "two" }, labelled(t("Identifier"), words), labelled(t("Class"), kind)), make("div", { class: "two" }, labelled(t("Repeats"), repeats), labelled(t("Name of the set"), name)),
      make("div", { class: "two" }, labelled(t("Regularization folder"), reg, "wants:folder"), labelled(t("Its repeats"), regRepeats)), make("div", { class: "buttons" }, start), said)
  }

  function balance(page) {
    const table = make("div", { class: "scroll" }), said = make("div", { role: "status" }), name = field("ds-balance-name")
    let rows = []
    const total = () => { for (const { images, input, sum } of rows) sum.textContent = number(images * Number(input.value)) }
    const repeats = () => Object.fromEntries(rows.map(({ name, input }) => [name, Number(input.value)]))
    function show(folders) {
      rows = folders.map((folder) => ({ ...folder, input: make("input", { type: "number", min: 1, value: folder.suggested, "aria-label": t("Repeats of {name}", { name: folder.name }), oninput: total }), sum: make("td") }))
      put(table, make("table", {}, make("tr", {}, ...[t("folder"), t("images"), t("now"), t("repeats"), t("an epoch")].map((words) => make("th", { scope: "col" }, words))),
        ...rows.map(({ name, images, repeats, input, sum }) => make("tr", {}, make("td", {}, name), make("td", {}, number(images)), make("td", {}, number(repeats)), make("td", {}, input), sum))))
      total()
    }
    const act = (words, id, work) => { const made = button(words, async () => {
      made.disabled = true
      try { put(said, ...await work()) } catch (error) { put(said, sentence(error)) }
      made.disabled = false
    }, { id }); return made }
    const file = act(t("Write a dataset file"), "ds-balance-file", async () => {
      const { dataset_config } = await call("balance", null, { folder: page.folder, name: name.value, repeats: repeats() })
      return made({ dataset_config })
    })
    const copies = act(t("Copy as folders"), "ds-balance-copy", async () => {
      const done = await call("prepare", null, { name: name.value, parts: rows.map(({ path, words, input }) => ({ folder: path, repeats: Number(input.value), words })) })
      return made({ train_data_dir: done.train_data_dir })
    })
    const whole = part(t("Balance folders"), true, make("p", { class: "quiet" }, t("With these repeats each folder weighs as much as the largest.")), table,
      labelled(t("Name"), name), make("div", { class: "buttons" }, file, copies), said)
    whole.hidden = true
    document.addEventListener("dataset-opened", async ({ detail }) => {
      whole.hidden = detail.folders.filter(({ images }) => images).length < 2 || !detail.path
      if (whole.hidden) return
      name.value = `${last(detail.path)} balanced`
      put(said)
      show([])
      try {
        const { folders } = await call("balance", { path: detail.path })
        if (page.folder === detail.path) show(folders)
      } catch (error) { if (page.folder === detail.path) put(said, sentence(error)) }
    })
    return whole
  }

  function masks(page) {
    const folder = field("ds-masks", { placeholder: t("none"), onchange: () => { page.masks = folder.value.trim(); page.show(page.offset) } })
    return part(t("Masks"), false, make("p", { class: "quiet" }, t("A folder with a mask for each picture, under the same name. What is dark in the mask is not learned.")), labelled(t("Folder of masks"), folder, "wants:folder"))
  }

  // Folders that are named as training reads them need no preparing.
  function ready(page) {
    const place = make("div", { class: "buttons" })
    const isNamed = (name) => /^\d+_./.test(name)
    document.addEventListener("dataset-opened", ({ detail: { path, parent, images, folders } }) => {
      const within = folders.filter(({ name, images }) => images && isNamed(name)).length
      const own = images && parent && isNamed(last(path))
      put(place, (within || own) && use(within ? t("Train with these folders") : t("Train with the folder that it lies in"), { train_data_dir: within ? path : parent }))
      place.hidden = !within && !own
    })
    return place
  }

  window.datasetParts = [(page) => {
    const below = make("div", { class: "making" }, upload(page), balance(page))
    page.top.append(ready(page))
    page.top.after(below)
    page.body.querySelector("aside").append(prepare(page), masks(page))
  }]
})()
