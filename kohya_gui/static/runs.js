// The list of all runs. It asks for what changed since the last time, so five hundred runs cost no more than one.
(() => {
  const { make, put, button, number, call, post, bring, whenThere } = window.kit
  const { duration, when, bytes, of, kind, words } = window.runs
  const t = window.t
  const WAIT = 2000, HIDDEN = 10000
  const GOING = ["starting", "loading", "caching", "training", "sampling", "saving"]
  const FILTERS = {
    "": [t("All"), () => true], going: [t("Going on"), (run) => GOING.includes(run.state)], queued: [t("Waiting"), (run) => run.state === "queued"],
    done: [t("Done"), (run) => run.state === "done"], unfinished: [t("Not finished"), (run) => ["paused", "stopped", "lost", "failed", "cancelled"].includes(run.state)],
  }
  const SECTIONS = [
    ["going", t("Going on"), (run) => GOING.includes(run.state)], ["queued", t("Waiting"), (run) => run.state === "queued"], ["earlier", t("Earlier"), () => true],
  ]
  // When a run was made, which tells it from others of its name, and how long ago something happened last.
  function moments(run, last) {
    const seconds = Date.now() / 1000 - last
    const ago = seconds < 60 ? t("just now") : seconds < 86400 && t("{time} ago", { time: duration(seconds).split(" ").slice(0, 2).join(" ") })
    return [when(run.created), ago].filter(Boolean).join(" · ")
  }

  class Runs {
    constructor(place) {
      this.place = place
      this.token = ""; this.serial = -1; this.order = []; this.runs = new Map(); this.rows = new Map(); this.chosen = new Set()
      this.build()
      document.addEventListener("runs-changed", () => this.tick())
      document.addEventListener("click", (event) => this.closeMenus(event.target))
      document.addEventListener("keydown", (event) => event.key === "Escape" && this.closeMenus())
      this.tick()
    }

    build() {
      this.search = make("input", { type: "search", id: "runs-search", placeholder: t("Name, tag or note"), "aria-label": t("Search runs"), oninput: () => this.arrange(true) })
      this.filter = make("select", { id: "runs-filter", "aria-label": t("Which runs"), onchange: () => this.arrange(true) },
        ...Object.entries(FILTERS).map(([value, [said]]) => make("option", { value }, said)))
      this.compare = button(t("Compare"), () => this.openComparison(), { id: "runs-compare", disabled: true })
      this.remove = button(t("Delete …"), () => this.askDelete([...this.chosen]), { id: "runs-delete", disabled: true })
      this.said = make("p", { class: "said", role: "status" })
      this.sections = SECTIONS.map(([id, title]) => make("section", { id: `runs-${id}`, hidden: true }, make("h3", {}, title), make("ul", { role: "list" })))
      this.nothing = make("p", { class: "nothing" }, t("No runs yet. What you start on the Train page is listed here."))
      put(this.place, make("div", { class: "runs-head" }, make("h2", {}, t("Runs")), this.search, this.filter, this.compare, this.remove),
        this.said, this.nothing, ...this.sections)
    }

    async tick() {
      clearTimeout(this.timer)
      const turn = this.turn = (this.turn || 0) + 1
      try {
        const found = await call(`list?${new URLSearchParams({ token: this.token, serial: this.serial })}`)
        if (turn === this.turn) this.take(found)
        if (this.broken) { this.broken = false; this.say("") }
      } catch (error) {
        this.broken = true
        this.say(error instanceof TypeError ? t("The app does not answer; training is not affected. Trying again …") : error.message)
      }
      if (turn === this.turn) this.timer = setTimeout(() => this.tick(), document.hidden ? HIDDEN : WAIT)
    }

    take({ token, serial, lines, order }) {
      if (token !== this.token) { this.runs.clear(); this.rows.clear() }
      this.token = token; this.serial = serial
      for (const line of lines) this.runs.set(line.id, line)
      if (order) {
        this.order = order
        for (const id of this.runs.keys()) if (!order.includes(id)) { this.runs.delete(id); this.rows.delete(id); this.choose(id, false) }
      }
      for (const line of lines) this.showRow(line)
      this.arrange(Boolean(order))
      this.mark()
    }

    // Which row stands where. Only what moved is touched.
    arrange(searched = false) {
      const wanted = this.search.value.trim().toLowerCase(), fits = FILTERS[this.filter.value][1]
      const places = this.sections.map(() => [])
      for (const id of this.order) {
        const run = this.runs.get(id)
        if (!run || !fits(run) || (wanted && !`${run.id} ${run.name} ${run.notes} ${run.tags.join(" ")}`.toLowerCase().includes(wanted))) continue
        places[SECTIONS.findIndex(([, , belongs]) => belongs(run))].push(run)
      }
      places[1].sort((a, b) => a.place - b.place)
      this.sections.forEach((section, i) => {
        const list = section.lastChild, ids = places[i].map((run) => run.id).join("\n")
        section.hidden = !places[i].length
        section.firstChild.textContent = places[i].length > 1 ? `${SECTIONS[i][1]} (${number(places[i].length)})` : SECTIONS[i][1]
        if (list.dataset.ids === ids && !searched) return
        list.dataset.ids = ids
        const focused = document.activeElement?.closest?.("li.run")?.dataset.id, what = document.activeElement?.dataset?.do
        put(list, ...places[i].map((run) => this.rows.get(run.id).item))
        if (focused && document.activeElement === document.body) this.rows.get(focused)?.item.querySelector(what ? `[data-do="${what}"]` : "button")?.focus()
      })
      this.nothing.hidden = Boolean(this.order.length)
    }

    newRow(run) {
      const row = {}
      row.check = make("input", { type: "checkbox", checked: this.chosen.has(run.id), "aria-label": t("Choose {name}", { name: run.name }), onchange: () => this.choose(run.id, row.check.checked) })
      row.name = button("", () => this.show(run.id), { class: "name", "data-do": "show" })
      row.badge = make("span", { class: "badge" })
      row.tags = make("span", { class: "tags" })
      row.notes = make("p", { class: "run-notes" })
      row.bar = make("progress", { max: 1, value: 0, "aria-label": t("Progress") })
      row.figures = make("span", { class: "figures" })
      row.when = make("time", {})
      row.actions = make("div", { class: "actions" })
      row.item = make("li", { class: "run", "data-id": run.id }, row.check, make("div", { class: "what" }, row.name, row.badge, row.tags), row.actions,
        make("div", { class: "how" }, row.bar, row.figures, row.when), row.notes)
      this.rows.set(run.id, row)
      return row
    }

    showRow(run) {
      const row = this.rows.get(run.id) || this.newRow(run)
      row.name.textContent = run.name; row.name.title = run.id
      row.badge.textContent = words(run.state); row.badge.className = `badge ${kind(run.state)}`
      row.item.dataset.state = run.state
      put(row.tags, run.devices !== "all" && make("span", { class: "tag device", title: t("Devices") }, run.devices), ...run.tags.map((tag) => make("span", { class: "tag" }, tag)))
      row.notes.textContent = run.held || run.notes
      row.notes.classList.toggle("held", Boolean(run.held))
      const share = run.state === "done" ? 1 : run.total ? run.step / run.total : 0
      row.bar.value = share; row.bar.hidden = !run.step
      const step = run.step ? (run.total ? t("{done} of {total}", { done: number(run.step), total: number(run.total) }) : number(run.step)) : ""
      row.figures.textContent = [run.place && t("number {place} in the queue", { place: run.place }), step, Number.isFinite(run.loss) && `${t("loss")} ${run.loss.toFixed(4)}`].filter(Boolean).join(" · ")
      const time = run.last && !GOING.includes(run.state) && run.state !== "queued" ? run.last : run.created || run.began
      row.when.textContent = time ? moments(run, time) : ""
      if (time) row.when.title = new Date(time * 1000).toLocaleString(window.language)
      const offered = [run.state, run.place, run.held, run.resumable].join()
      if (row.offered !== offered) { row.offered = offered; this.showActions(row, run) }
    }

    showActions(row, run) {
      const act = (what, said, title) => button(said, () => this.act(run.id, what), { "data-do": what, title, "aria-label": `${title || said}: ${run.name}` })
      const going = GOING.includes(run.state), offered = []
      if (going && run.state !== "starting") offered.push(act("pause", t("Pause"), t("Save where it stands and free the memory")))
      if (going) offered.push(button(t("Stop"), () => this.ask(run.id, "stop"), { "data-do": "stop", title: t("Stop and save"), "aria-label": `${t("Stop and save")}: ${run.name}` }))
      if (run.state === "queued") offered.push(act("up", "↑", t("Earlier")), act("down", "↓", t("Later")), act("cancel", t("Cancel")))
      if (run.held) offered.push(button(t("Give keys …"), () => this.askSecrets(run.id), { "data-do": "secrets" }))
      if (run.resumable || run.state === "cancelled") offered.push(act("resume", run.state === "cancelled" ? t("Queue again") : t("Resume")))
      const menu = make("details", { class: "menu", ontoggle: () => menu.open && this.fillMenu(menu, run.id) }, make("summary", { "aria-label": t("More about {name}", { name: run.name }) }, "⋯"), make("div", {}))
      put(row.actions, ...offered, menu)
    }

    // Made when it is opened: most never are.
    fillMenu(menu, id) {
      this.closeMenus(menu)
      const run = this.runs.get(id), over = !GOING.includes(run.state) && run.state !== "queued"
      const entry = (said, action, what) => button(said, () => { menu.open = false; action() }, { "data-do": what })
      put(menu.lastChild,
        make("a", { href: `./?run=${encodeURIComponent(id)}`, "data-do": "form" }, t("Open as form")),
        entry(t("Duplicate"), () => this.act(id, "duplicate"), "duplicate"),
        entry(t("Name, tags and notes …"), () => this.askNotes(id), "notes"),
        GOING.includes(run.state) && entry(t("Stop now, saving nothing"), () => this.ask(id, "stop_now"), "stop_now"),
        run.state === "queued" && entry(t("To the front"), () => this.act(id, "first"), "first"),
        run.state === "queued" && entry(t("To the end"), () => this.act(id, "last"), "last"),
        over && entry(t("Delete …"), () => this.askDelete([id]), "delete"))
    }

    closeMenus(but) {
      for (const menu of this.place.querySelectorAll("details.menu[open]")) if (!but || (menu !== but && !menu.contains(but))) menu.open = false
    }

    show(id) {
      window.live?.show(id)
      this.mark()
      if (matchMedia("(max-width: 900px)").matches) bring(document.getElementById("live"))
    }

    mark() {
      for (const [id, row] of this.rows) row.item.classList.toggle("shown", id === window.live?.run)
    }

    choose(id, on) {
      on ? this.chosen.add(id) : this.chosen.delete(id)
      this.compare.disabled = this.chosen.size < 2
      this.remove.disabled = !this.chosen.size
      this.compare.textContent = this.chosen.size > 1 ? t("Compare {count}", { count: this.chosen.size }) : t("Compare")
    }

    say(words) { this.said.textContent = words }

    async do(path, body) {
      try { this.say(""); return await post(path, body) } catch (error) { this.say(error.message); return null } finally { this.tick(); window.live?.tick() }
    }
    act(id, what) { return this.do(`${of(id)}/do/${what}`) }
    ask(id, what) { return this.do(`${of(id)}/ask/${what}`) }

    openComparison() {
      const ids = this.order.filter((id) => this.chosen.has(id))
      window.runs.compare(ids)
    }

    // A question in a dialog: its form's fields, and what is done with the answer.
    dialog(title, fields, yes, action) {
      const said = make("p", { class: "said", role: "alert" })
      const dialog = make("dialog", { class: "runs-dialog", "aria-label": title, onclose: () => dialog.remove() },
        make("form", { method: "dialog", onsubmit: async (event) => {
          if (event.submitter?.value !== "yes") return
          event.preventDefault()
          event.submitter.disabled = true
          try { await action(); dialog.close() } catch (error) { said.textContent = error.message }
          event.submitter.disabled = false
          this.tick()
        } }, make("h2", {}, title), ...fields, said, make("div", { class: "buttons" },
          make("button", { value: "yes", class: "yes" }, yes), make("button", { value: "no", formnovalidate: true }, t("Cancel")))))
      this.place.append(dialog)
      dialog.showModal()
      return dialog
    }

    askNotes(id) {
      const run = this.runs.get(id)
      const name = make("input", { value: run.name, autocomplete: "off", required: true })
      const tags = make("input", { value: run.tags.join(", "), autocomplete: "off" }), notes = make("textarea", { rows: 5 }, run.notes)
      const fields = [[t("Name of the run"), name], [t("Tags, with commas between"), tags], [t("Notes"), notes]].map(([said, field]) => make("label", {}, said, field))
      this.dialog(run.name, fields, t("Keep"), () => post(`${of(id)}/note`, { name: name.value, tags: tags.value.split(","), notes: notes.value }))
    }

    askSecrets(id) {
      const run = this.runs.get(id), inputs = run.secrets.map((name) => [name, make("input", { type: "password", autocomplete: "off" })])
      this.dialog(t("Keys for {name}", { name: run.name }), [make("p", {}, run.held), ...inputs.map(([name, input]) => make("label", {}, name, input))], t("Go on"),
        () => post(`${of(id)}/secrets`, Object.fromEntries(inputs.map(([name, input]) => [name, input.value]))))
    }

    async askDelete(ids) {
      const names = ids.map((id) => this.runs.get(id)?.name || id)
      let found
      try { found = await Promise.all(ids.map((id) => call(`${of(id)}/files`))) } catch (error) { return this.say(error.message) }
      if (this.place.querySelector("dialog")) return // pressed twice
      const files = found.flatMap((each) => each.files), size = found.reduce((sum, each) => sum + each.bytes, 0)
      const too = make("input", { type: "checkbox" })
      this.dialog(ids.length > 1 ? t("Delete {count} runs?", { count: ids.length }) : t("Delete {name}?", { name: names[0] }), [
        ids.length > 1 && make("p", { class: "names" }, names.join(", ")),
        make("p", {}, t("Settings, curve, samples and log go for good.")),
        files.length > 0 && make("label", { class: "check" }, too, t("Delete the files that were trained too ({size})", { size: bytes(size) })),
        files.length > 0 && make("ul", { class: "files" }, ...files.slice(0, 12).map((file) => make("li", {}, file)), files.length > 12 && make("li", {}, "…")),
      ].filter(Boolean), t("Delete"), async () => {
        for (const id of ids) { await post(`${of(id)}/delete?files=${too.checked}`); this.choose(id, false) }
        if (ids.includes(window.live?.run)) window.live.show(null)
      })
    }
  }

  whenThere("runs", (place) => { window.runList = new Runs(place) })
})()
