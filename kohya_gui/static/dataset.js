// The dataset page: a folder's pictures with their captions, edited in place or many at once, and every step undone.
(() => {
  const PAGE = 60
  const { make, put, button, number, recall, remember, latest, whenThere } = window.kit
  const t = window.t
  const address = (path, query) => window.kit.address(`dataset/${path}`, query)

  const labelled = (words, field, kind = "") => make("label", { class: kind || null }, make("span", {}, words), field)
  const isNarrow = () => matchMedia("(max-width: 1000px)").matches
  const part = (title, open, ...children) => make("details", { class: "card", open }, make("summary", {}, title), ...children)

  const asked = (path, query) => `dataset/${path}` + (query ? `?${new URLSearchParams(query)}` : "")
  async function call(path, query, body) {
    try {
      return await (body === undefined ? window.kit.call(asked(path, query)) : window.kit.post(asked(path, query), body))
    } catch (error) {
      throw error instanceof TypeError ? new Error(t("The app does not answer; your captions are safe. Try again.")) : error
    }
  }

  // What two texts have in common at both ends stays plain; what lies between is marked.
  function difference(before, after) {
    let start = 0, end = 0
    const shorter = Math.min(before.length, after.length)
    while (start < shorter && before[start] === after[start]) start++
    while (end < shorter - start && before.at(-1 - end) === after.at(-1 - end)) end++
    const middle = (text) => text.slice(start, text.length - end)
    return make("p", { class: "difference" }, before.slice(0, start), middle(before) && make("del", {}, middle(before)),
      middle(after) && make("ins", {}, middle(after)), before.slice(before.length - end))
  }

  const KINDS = {
    replace: { words: () => t("Search and replace"), fields: [["find", "text", () => t("Search for")], ["by", "text", () => t("Replace by")], ["as_pattern", "check", () => t("Regular expression")], ["match_case", "check", () => t("Upper and lower case count")]] },
    prefix: { words: () => t("Put in front"), fields: [["text", "text", () => t("Text, with its comma or space")]] },
    suffix: { words: () => t("Put at the end"), fields: [["text", "text", () => t("Text, with its comma or space")]] },
    add_tags: { words: () => t("Add tags"), fields: [["text", "text", () => t("Tags, with commas between")], ["in_front", "check", () => t("In front of the others")]] },
    remove_tags: { words: () => t("Remove tags"), fields: [["text", "text", () => t("Tags, with commas between")]] },
    sort_tags: { words: () => t("Sort tags"), fields: [["keep", "number", () => t("Tags that stay in front")]] },
    dedupe_tags: { words: () => t("Remove repeated tags"), fields: [] },
  }

  class Dataset {
    constructor(place) {
      this.place = place
      this.folder = ""
      this.masks = ""
      this.ending = ".txt"
      this.tags = []
      this.selected = new Set()
      this.unsaved = new Map() // caption -> text that was typed but could not be saved yet
      this.saving = Promise.resolve()
      this.offset = 0
      this.build()
      addEventListener("beforeunload", (event) => { if (this.unsaved.size) event.preventDefault() })
      this.open(new URLSearchParams(location.search).get("folder") || recall("kohya-gui-dataset") || "")
    }

    build() {
      this.input = make("input", { id: "ds-folder", type: "text", spellcheck: "false", autocomplete: "off" })
      this.folders = make("div", { class: "folders" })
      this.said = make("p", { class: "said", role: "status" })
      this.top = make("section", { class: "card", "aria-label": t("Folder") },
        make("form", { class: "open", onsubmit: (event) => { event.preventDefault(); this.open(this.input.value) } },
          labelled(t("Folder of images"), this.input, "wide wants:folder"), make("button", { type: "submit", class: "main" }, t("Open"))),
        this.folders, this.said)
      this.body = make("div", { class: "parts", hidden: true }, this.buildGallery(), make("aside", {}, this.buildEdit(), this.buildTags()))
      put(this.place, this.top, this.body)
      for (const build of window.datasetParts || []) build(this)
    }

    buildGallery() {
      const again = () => { clearTimeout(this.typing); this.typing = setTimeout(() => this.show(0), 250) }
      this.words = make("input", { id: "ds-words", type: "search", placeholder: t("in captions and names"), oninput: again })
      this.state = make("select", { id: "ds-state", onchange: () => this.show(0) }, make("option", { value: "" }, t("All")), make("option", { value: "without" }, t("Without a caption")))
      this.endings = make("select", { id: "ds-ending", onchange: () => { this.ending = this.endings.value; this.reload() } },
        ...[".txt", ".caption", ".cap"].map((ending) => make("option", { value: ending }, ending)))
      this.undoButton = button("", () => this.step("undo"), { id: "ds-undo" })
      this.redoButton = button("", () => this.step("redo"), { id: "ds-redo" })
      this.showHistory({})
      this.chips = make("div", { class: "chips" })
      this.count = make("p", { class: "count", role: "status" })
      this.grid = make("ol", { class: "grid" })
      this.pagers = [0, 1].map(() => make("div", { class: "pager" }))
      return make("section", { class: "card gallery", "aria-label": t("Pictures and captions") },
        make("div", { class: "bar" }, labelled(t("Search"), this.words, "wide"), labelled(t("Show"), this.state), labelled(t("Captions end in"), this.endings)),
        this.chips, make("div", { class: "bar steps" }, this.count, this.undoButton, this.redoButton, this.pagers[0]), this.grid, this.pagers[1])
    }

    buildEdit() {
      this.kind = make("select", { id: "ds-kind", onchange: () => this.showFields() }, ...Object.entries(KINDS).map(([kind, { words }]) => make("option", { value: kind }, words())))
      this.fields = make("div", { class: "edit-fields" })
      this.scope = make("select", { id: "ds-scope", onchange: () => this.forget() })
      this.applyButton = button(t("Apply"), () => this.apply(), { id: "ds-apply", class: "main", disabled: true })
      this.edited = make("div", { class: "edited", role: "status" })
      const form = make("form", { class: "edit", onsubmit: (event) => { event.preventDefault(); this.preview() } },
        labelled(t("What to do"), this.kind), this.fields, labelled(t("Which captions"), this.scope),
        make("div", { class: "buttons" }, make("button", { type: "submit", id: "ds-try" }, t("Preview")), this.applyButton))
      this.showFields()
      return part(t("Edit many captions"), !isNarrow(), form, this.edited)
    }

    buildTags() {
      this.tagWords = make("input", { id: "ds-tag-words", type: "search", placeholder: t("filter"), "aria-label": t("Filter tags"), oninput: () => this.listTags() })
      this.tagList = make("ul", { class: "tags" })
      this.tagCount = make("p", { class: "count" })
      return part(t("Tags"), !isNarrow(), this.tagWords, this.tagCount, this.tagList)
    }

    showFields() {
      this.values = {}
      put(this.fields, ...KINDS[this.kind.value].fields.map(([name, kind, words]) => {
        const field = make("input", { id: `ds-${name}`, type: kind === "check" ? "checkbox" : kind, min: kind === "number" ? 0 : null, value: kind === "number" ? 0 : null, oninput: () => this.forget() })
        this.values[name] = () => kind === "check" ? field.checked : kind === "number" ? Number(field.value) : field.value
        return kind === "check" ? make("label", { class: "check" }, field, make("span", {}, words())) : labelled(words(), field)
      }))
      this.forget()
    }

    // A preview holds only for what it was made of.
    forget() { if (this.applyButton) { latest(this, "previewing"); this.applyButton.disabled = true; put(this.edited) } }

    say(words, bad = false) { this.said.textContent = words; this.said.classList.toggle("bad", bad) }

    // Of several folders that were asked for, the last is shown; what was typed meanwhile stays.
    async open(path) {
      const isLast = latest(this, "opening"), typed = this.input.value
      try {
        const found = await call("folders", { path })
        if (!isLast()) return
        this.finishTyping()
        this.say("")
        if (found.path !== this.folder) put(this.grid)
        else for (const caption of this.unsaved.keys()) if (JSON.parse(caption).folder === found.path) this.unsaved.delete(caption)
        this.showFolders(found)
        if (this.input.value === typed) this.input.value = found.path
        this.folder = found.path
        this.ending = this.endings.value = found.ending
        this.body.hidden = !found.images
        remember("kohya-gui-dataset", found.path)
        document.dispatchEvent(new CustomEvent("dataset-opened", { detail: found }))
        if (!found.path) this.say(t("Open a folder to see its pictures with their captions: write them in place, change many at once and undo it, count tags, look at masks, balance repeats, and send it to the form."))
        else if (!found.images && !found.folders.length) this.say(t("There are no images in this folder."))
        if (found.images) await this.reload()
      } catch (error) { if (isLast()) { this.body.hidden = true; this.say(error.message, true) } }
    }

    showFolders({ parent, folders }) {
      const many = (images) => images === 1 ? t("1 image") : t("{count} images", { count: number(images) })
      put(this.folders, parent !== null && button(t("Up"), () => this.open(parent), { class: "up" }), ...folders.map(({ path, name, images }) =>
        button("", () => this.open(path), {}, make("b", {}, name), images ? make("span", {}, many(images)) : null)))
    }

    async reload() {
      this.tags = []
      this.selected.clear()
      this.words.value = ""
      this.state.value = ""
      this.forget()
      await Promise.all([this.show(0), this.readTags(), this.readHistory()])
    }

    asked(more = {}) { return { folder: this.folder, ending: this.ending, ...more } }
    search() { return { words: this.words.value, tags: this.tags, state: this.state.value } }
    isShown({ folder, ending }) { return folder === this.folder && ending === this.ending }

    // What changes captions is done one by one in the order in which it was asked for, and in the folder that was open then.
    write(action) {
      const done = this.saving.then(action)
      this.saving = done.catch(() => {})
      return done
    }

    // What is being typed is saved before its field goes.
    finishTyping() {
      const text = document.activeElement
      if (this.grid.contains(text) && text.type === "textarea" && text.value !== text.asked) text.dispatchEvent(new Event("change"))
    }

    async show(offset) {
      const isLast = latest(this, "showing")
      try {
        const { saving } = this
        await saving
        const found = await call("items", { offset, limit: PAGE }, this.asked(this.search()))
        if (!isLast()) return
        this.finishTyping()
        if (saving !== this.saving) return this.show(offset)
        if (offset && !found.items.length) return this.show(0)
        Object.assign(this, { offset, all: found.all, found: found.found })
        this.showCards(found.items)
        this.showPlace(found.items.length)
        this.showScope()
        this.say("")
      } catch (error) { if (isLast()) this.say(error.message, true) }
    }

    // Whoever writes a caption goes on writing in it.
    showCards(items) {
      const text = this.grid.contains(document.activeElement) && document.activeElement, { selectionStart: from, selectionEnd: to } = text
      const again = text.type === "textarea" && items.findIndex(({ name }) => name === text.closest("li").dataset.name)
      put(this.grid, ...items.map((item) => this.card(item)))
      const found = this.grid.children[again]?.querySelector("textarea")
      found?.focus({ preventScroll: true })
      found?.setSelectionRange(from, to)
    }

    showPlace(shown) {
      const { offset, found, all } = this
      this.count.textContent = !found ? t("No image is found.") : t("{first} to {last} of {count}", { first: number(offset + 1), last: number(offset + shown), count: number(found) }) + (found < all ? ` (${t("{count} in the folder", { count: number(all) })})` : "")
      for (const pager of this.pagers) {
        pager.hidden = found <= PAGE
        put(pager, button(t("Back"), () => this.turnTo(offset - PAGE), { disabled: offset === 0 }),
          make("span", {}, `${number(Math.floor(offset / PAGE) + 1)} / ${number(Math.ceil(found / PAGE))}`),
          button(t("Next"), () => this.turnTo(offset + PAGE), { disabled: offset + PAGE >= found }))
      }
      put(this.chips, ...this.tags.map((tag) => button(`${tag} ×`, () => this.filter(tag), { title: t("Show images without this tag again") })))
      this.chips.hidden = !this.tags.length
    }

    async turnTo(offset) { await this.show(Math.max(0, offset)); this.body.querySelector(".gallery").scrollIntoView({ block: "start" }) }

    showScope() {
      const chosen = this.scope.value
      const isAll = this.found === this.all
      const kinds = [["found", this.found === 1 ? t("the one image") : isAll ? t("all {count} images", { count: number(this.all) }) : t("the {count} images found", { count: number(this.found) })],
        this.selected.size && ["selected", this.selected.size === 1 ? t("the one selected") : t("the {count} images selected", { count: number(this.selected.size) })]].filter(Boolean)
      put(this.scope, ...kinds.map(([kind, words]) => make("option", { value: kind }, words)))
      if (kinds.some(([kind]) => kind === chosen)) this.scope.value = chosen
    }

    picture(item, side) { return address("picture", { folder: this.folder, name: item.name, side, v: item.version }) }

    card(item) {
      const size = item.size ? `${item.size[0]} × ${item.size[1]}` : t("broken")
      const place = this.asked(), its = JSON.stringify({ ...place, name: item.name }), waits = this.unsaved.has(its)
      const note = make("p", { class: item.problem ? "note bad" : "note", role: "status" }, waits ? t("not saved yet") : item.problem)
      const text = make("textarea", { rows: 4, "aria-label": t("Caption of {name}", { name: item.name }), placeholder: item.problem ? "" : t("no caption"), disabled: Boolean(item.problem), spellcheck: "false" })
      text.value = text.asked = waits ? this.unsaved.get(its) : item.caption
      const mark = (saved = "") => {
        const same = text.value === item.caption
        note.className = same && saved ? "note good" : "note"
        note.textContent = same ? saved : t("not saved yet")
        same ? this.unsaved.delete(its) : this.unsaved.set(its, text.value)
      }
      const fail = (error) => { note.className = "note bad"; note.textContent = error.message }
      const save = () => { text.asked = text.value; this.write(() => this.save(item, text, place)).then(mark, fail) }
      text.addEventListener("change", save)
      text.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); save() } })
      text.addEventListener("input", () => mark())
      const check = make("input", { type: "checkbox", value: item.name, "aria-label": t("Select {name}", { name: item.name }), title: t("Shift selects all between") })
      check.checked = this.selected.has(item.name)
      check.addEventListener("click", (event) => this.select(check, event.shiftKey))
      const image = make("img", { src: this.picture(item, 320), alt: item.name, loading: "lazy", decoding: "async", onerror: () => image.replaceWith(make("span", { class: "broken" }, t("This picture can't be read."))) })
      const mask = this.masks && make("img", { class: "mask", src: address("mask", { masks: this.masks, name: item.name, side: 320 }), alt: t("mask"), loading: "lazy", onerror: () => { mask.remove(); note.textContent = t("This picture has no mask.") } })
      return make("li", { "data-name": item.name },
        make("button", { type: "button", class: "picture", title: t("Enlarge"), onclick: () => this.enlarge(item) }, image, mask || null),
        make("div", { class: "meta" }, make("label", { title: item.name }, check, make("span", {}, item.name)), make("span", { class: item.size ? "" : "bad" }, size)), text, note)
    }

    // With Shift, as far as the box that was clicked before.
    select(check, extend) {
      const boxes = [...this.grid.querySelectorAll(".meta input")]
      const [first, last] = [boxes.indexOf(extend ? this.picked : check), boxes.indexOf(check)].sort((a, b) => a - b)
      for (const box of first < 0 ? [check] : boxes.slice(first, last + 1)) {
        box.checked = check.checked
        this.selected[check.checked ? "add" : "delete"](box.value)
      }
      this.picked = check
      this.showScope()
      this.forget()
    }

    async save(item, text, place) {
      const wanted = text.value
      if (wanted === item.caption) return ""
      const { history } = await call("caption", null, { ...place, name: item.name, text: wanted, seen: item.caption })
      item.caption = wanted
      if (this.isShown(place)) { this.showHistory(history); this.readTags(); this.forget() }
      return t("saved")
    }

    enlarge(item) {
      const dialog = make("dialog", { id: "dataset-picture", "aria-label": item.name, onclick: () => dialog.close(), onclose: () => dialog.remove() },
        make("img", { src: this.picture(item, 1600), alt: item.name }), make("p", {}, item.caption || item.name))
      document.body.append(dialog)
      dialog.showModal()
    }

    wished() {
      const settings = Object.fromEntries(Object.entries(this.values).map(([name, read]) => [name, read()]))
      const scope = this.scope.value === "selected" ? { names: [...this.selected] } : this.search()
      return this.asked({ ...scope, kind: this.kind.value, settings })
    }

    // A preview counts if nothing that it was made of has changed since.
    async preview() {
      this.applyButton.disabled = true
      await this.saving
      const isLast = latest(this, "previewing")
      const show = (act) => (outcome) => { if (isLast()) act(outcome) }
      return call("try", null, this.wished()).then(show((outcome) => this.showOutcome(outcome, false)), show((error) => this.failed(error)))
    }

    async apply() {
      const wished = this.wished()
      this.applyButton.disabled = true
      try {
        const outcome = await this.write(() => call("apply", null, wished))
        if (!this.isShown(wished)) return
        this.showOutcome(outcome, true)
        await this.changed(outcome.history)
      } catch (error) { this.failed(error) }
    }

    failed(error) { put(this.edited, make("p", { class: "bad" }, error.message)) }

    showOutcome({ changed, looked_at, examples, skipped }, isDone) {
      const values = { changed: number(changed), all: number(looked_at) }
      const done = changed === 1 ? t("1 caption was changed; Undo takes it back.") : t("{changed} captions were changed; Undo takes it back.", values)
      const would = changed === 1 ? t("1 caption would change:") : changed ? t("{changed} captions of {all} images would change:", values) : t("No caption of {all} images would change.", values)
      const words = isDone ? done : would
      this.applyButton.disabled = isDone || !changed
      put(this.edited, make("p", { class: isDone ? "good" : "" }, words), ...skipped.map((sentence) => make("p", { class: "warn" }, sentence)),
        !isDone && make("ul", { class: "examples" }, ...examples.map(({ name, before, after }) => make("li", {}, make("b", {}, name), difference(before, after)))),
        !isDone && changed > examples.length && make("p", { class: "quiet" }, t("and {count} more", { count: number(changed - examples.length) })))
    }

    async changed(history) { this.showHistory(history); await Promise.all([this.show(this.offset), this.readTags()]) }

    async step(which) {
      const place = this.asked(), isLast = latest(this, "stepping")
      try {
        const { words, changed, history } = await this.write(() => call(which, null, place))
        if (!this.isShown(place)) return
        this.forget()
        await this.changed(history)
        const values = { what: words, count: number(changed) }
        const one = which === "undo" ? t("Undone: {what}.", values) : t("Done again: {what}.", values)
        const said = changed === 1 ? one : which === "undo" ? t("Undone: {what} ({count} captions).", values) : t("Done again: {what} ({count} captions).", values)
        if (isLast() && this.isShown(place)) this.say(said)
      } catch (error) { this.say(error.message, true) }
    }

    async readHistory() {
      const place = this.asked()
      try {
        const history = await this.write(() => call("history", place))
        if (this.isShown(place)) this.showHistory(history)
      } catch (error) { this.say(error.message, true) }
    }

    showHistory({ undo, redo }) {
      const show = (made, words, what) => { made.disabled = !what; made.textContent = what ? `${words}: ${what}` : words; made.title = made.textContent }
      show(this.undoButton, t("Undo"), undo)
      show(this.redoButton, t("Redo"), redo)
    }

    async readTags() {
      const isLast = latest(this, "counting")
      try {
        const { all, tags } = await call("tags", this.asked())
        if (!isLast()) return
        this.known = tags
        this.tagCount.textContent = all > tags.length ? t("{count} tags, the {shown} most frequent are shown", { count: number(all), shown: number(tags.length) }) : all === 1 ? t("1 tag") : t("{count} tags", { count: number(all) })
        this.listTags()
      } catch (error) { if (isLast()) this.say(error.message, true) }
    }

    listTags() {
      const words = this.tagWords.value.toLowerCase()
      put(this.tagList, ...this.known.filter(([tag]) => tag.toLowerCase().includes(words)).slice(0, 200).map(([tag, count]) =>
        make("li", {}, button("", () => this.filter(tag), { "aria-pressed": String(this.tags.includes(tag)) }, make("span", {}, tag), make("b", {}, number(count))))))
    }

    filter(tag) {
      this.tags = this.tags.includes(tag) ? this.tags.filter((other) => other !== tag) : [...this.tags, tag]
      this.listTags()
      this.forget()
      this.show(0)
    }
  }

  whenThere("dataset", (place) => { window.dataset = new Dataset(place) })
  window.datasetTools = { part, labelled, call }
})()
