// A path is chosen instead of typed: a dialog shows folders and files of the machine that the app runs on. A field takes part by its class, such as
// "wants:folder", "wants:weights:write" or "wants:weights:several": what it takes, whether that is written, and whether it takes one a line.
(() => {
  const { make, put, button, number, call, post, recall, remember } = window.kit
  const t = window.t
  const RECENT = "kohya-gui-places", MOST_RECENT = 5

  function wishOf(field) {
    const [, kind, ...more] = [...field.classList].find((name) => name.startsWith("wants:")).split(":")
    return { kind, write: more.includes("write"), several: more.includes("several") }
  }
  const nameOf = (field) => field.querySelector('[data-testid="block-info"], label > span, span')?.textContent.trim() ?? ""
  const last = (path) => path.split(/[\\/]/).filter(Boolean).pop() ?? path
  const inside = (folder, name) => folder + (folder.includes("\\") ? "\\" : folder.endsWith("/") ? "" : "/") + name

  function recent() { try { return JSON.parse(recall(RECENT)) ?? {} } catch { return {} } }
  function keep(kind, path) {
    const known = recent()
    remember(RECENT, JSON.stringify({ ...known, [kind]: [path, ...(known[kind] ?? []).filter((other) => other !== path)].slice(0, MOST_RECENT) }))
  }

  // As if it had been typed.
  function fill(input, value) {
    input.value = value
    for (const kind of ["input", "change"]) input.dispatchEvent(new Event(kind, { bubbles: true }))
  }
  async function allow(folder) {
    await post(`places/allow?${new URLSearchParams({ path: folder })}`)
    document.dispatchEvent(new Event("place-allowed"))
  }

  class Chooser {
    constructor(field, input) {
      Object.assign(this, { input, ...wishOf(field), path: "", found: null })
      this.forFolder = this.kind === "folder"
      this.title = this.forFolder ? t("Choose a folder") : t("Choose a file")
      this.build(nameOf(field))
      document.querySelector(".gradio-container").append(this.dialog)
      this.dialog.showModal()
      const lines = input.value.trim().split("\n"), [newest] = recent()[this.kind] ?? []
      this.show(lines.at(-1) || (newest ? inside(newest, "..") : ""))
    }

    build(name) {
      this.where = make("input", { type: "text", spellcheck: "false", autocomplete: "off", "aria-label": t("Folder"),
        onkeydown: (event) => { if (event.key === "Enter") this.show(this.where.value) } })
      this.up = button("↑", () => this.show(this.found.parent), { class: "up", "aria-label": t("Up"), title: t("Up") })
      this.filter = make("input", { type: "text", class: "filter", placeholder: t("filter"), "aria-label": t("filter"), autocomplete: "off",
        oninput: () => { clearTimeout(this.typing); this.typing = setTimeout(() => this.show(this.path, false), 150) } })
      this.every = make("input", { type: "checkbox", onchange: () => this.show(this.path, false) })
      this.rows = make("ul", { class: "rows", role: "list" })
      this.said = make("p", { class: "said", role: "status" })
      this.named = make("input", { type: "text", spellcheck: "false", autocomplete: "off" })
      this.take = button(this.forFolder ? t("Choose this folder") : t("Choose"), () => this.chosen(this.here()), { class: "take" })
      const close = () => this.dialog.close(), toWrite = this.write && !this.forFolder
      const past = (recent()[this.kind] ?? []).map((path) => button(last(path), () => toWrite ? this.show(inside(path, "..")) : this.chosen(path), { title: path, "aria-label": path }))
      this.dialog = make("dialog", { id: "chooser", "aria-label": `${this.title}: ${name}`,
        onkeydown: (event) => event.target.matches("input") || this.steer(event), onclose: () => { this.dialog.remove(); this.input.focus() } },
        make("header", {}, make("h2", {}, this.title), make("span", { class: "quiet" }, name), button("×", close, { class: "close", "aria-label": t("Close") })),
        past.length > 0 && make("div", { class: "past", role: "group", "aria-label": t("Recently used") }, make("span", { class: "quiet" }, t("Recently used")), ...past),
        make("div", { class: "where" }, this.up, this.where, this.filter),
        this.rows, this.said,
        make("footer", {}, !this.forFolder && make("label", { class: "every" }, this.every, t("All files")),
          toWrite && make("label", { class: "named" }, t("File name"), this.named), button(t("Cancel"), close), this.take))
      this.filter.addEventListener("keydown", (event) => {
        if (event.key === "ArrowDown") { event.preventDefault(); this.buttons()[0]?.focus() }
        if (event.key === "Enter") { event.preventDefault(); this.buttons()[0]?.click() }
      })
      if (toWrite) this.named.value = last(this.input.value.trim())
    }

    // Only the answer to what was asked last counts.
    async show(path, isNew = true) {
      const turn = this.turn = (this.turn || 0) + 1
      if (isNew) this.filter.value = ""
      let found, trouble = null
      const asked = (path) => call(`places?${new URLSearchParams({ path, kind: this.kind, write: this.write, words: this.filter.value, every: this.every.checked })}`)
      try { found = await asked(path) } catch (error) { trouble = error; found = this.found ?? await asked("").catch(() => ({ path: "", parent: null, folders: [], files: [] })) }
      if (turn !== this.turn || !this.dialog.isConnected) return
      Object.assign(this, { found, path: found.path })
      this.draw(isNew)
      this.tell(trouble, path)
    }

    draw(isNew) {
      const { path, parent, folders, files } = this.found
      this.where.value = path
      this.up.disabled = parent === null
      put(this.rows, ...folders.map((row) => this.row(row, "folder", () => this.show(row.path))), ...files.map((row) => this.row(row, "file", () => this.picked(row))))
      this.rows.scrollTop = 0
      this.take.hidden = !this.forFolder && !this.found.is_model && !this.write
      this.take.disabled = !path || (this.write && !this.found.may_write)
      if (!this.write && this.found.is_model && !this.forFolder) this.take.textContent = t("Choose this folder")
      if (isNew) [this.buttons()[0], this.take, this.where].find((one) => one && !one.hidden && !one.disabled).focus()
    }

    row({ name }, kind, act) { return make("li", {}, button(name, act, { class: kind, title: name })) }
    buttons() { return [...this.rows.querySelectorAll("button")] }

    tell(trouble, asked) {
      const { path, folders, files, more, pictures, may_write } = this.found, opens = trouble?.content?.opens
      const offer = opens && button(t("Allow {folder}", { folder: opens }), () => allow(opens).then(() => this.show(asked), (error) => { this.said.textContent = error.message }))
      const facts = [path && this.write && !may_write && t("The app may not write here."), this.forFolder && pictures > 0 && (pictures === 1 ? t("1 image") : t("{count} images", { count: number(pictures) })),
        more > 0 && t("and {count} more", { count: number(more) }), !folders.length && !files.length && t("Nothing to choose here.")].filter(Boolean)
      this.said.classList.toggle("bad", Boolean(trouble))
      put(this.said, trouble ? trouble.message : facts.join(" · "), offer)
    }

    steer(event) {
      const all = this.buttons(), at = all.indexOf(document.activeElement)
      const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key]
      if (event.key === "Backspace" || (event.key === "ArrowUp" && event.altKey)) { event.preventDefault(); if (!this.up.disabled) this.up.click() }
      else if (to !== undefined) { event.preventDefault(); (all[to] ?? (to < 0 ? this.filter : all.at(-1)))?.focus() }
      else if (event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.metaKey) this.filter.focus()
    }

    here() {
      const name = this.write && !this.forFolder ? this.named.value.trim() : ""
      const ending = name && this.kind === "weights" && !name.includes(".") ? ".safetensors" : ""
      return name ? inside(this.path, name + ending) : this.path
    }
    // What exists is only written over when its name is chosen on purpose.
    picked({ path, name }) {
      if (!this.write) return this.chosen(path)
      this.named.value = name
      this.take.focus()
    }

    chosen(path) {
      keep(this.kind, path)
      const lines = this.several ? this.input.value.split("\n").map((line) => line.trim()).filter((line) => line && line !== path) : []
      fill(this.input, this.several ? [...lines, path, ""].join("\n") : path)
      this.dialog.close()
    }
  }

  // The button beside each field that takes a path.
  function equip(field) {
    const input = field.querySelector("input, textarea")
    if (!input) return
    const name = nameOf(field)
    if (!input.hasAttribute("aria-label")) input.setAttribute("aria-label", name)
    input.parentElement.classList.add("with-browse")
    const title = wishOf(field).kind === "folder" ? t("Choose a folder") : t("Choose a file")
    input.after(button("", (event) => { event.preventDefault(); new Chooser(field, input) }, { class: "browse", title, "aria-label": `${title}: ${name}` }))
  }
  const look = () => document.querySelectorAll('[class*="wants:"]:not(:has(.browse))').forEach(equip)
  new MutationObserver(look).observe(document.documentElement, { childList: true, subtree: true })
  look()

  document.addEventListener("click", async (event) => {
    const opener = event.target.closest?.("button.open-up")
    if (!opener) return
    opener.disabled = true
    try { await allow(opener.dataset.folder) } catch (error) { opener.replaceWith(make("span", { class: "bad" }, error.message)) }
  })
})()
