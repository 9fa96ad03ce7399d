// The live view of a run: asks the app's plain routes every second or so and shows what the run's folder says.
(() => {
  const { make, put, button, number, call, post, address, copier, latest, whenThere } = window.kit
  const { Samples, duration, when, pace, bytes, short, of, kind, words, smoothing } = window.runs
  const t = window.t
  const QUICK = 1000, SLOW = 4000
  const SHUT = -2 // instead of the log's size: nobody looks at it
  const ENDED = ["done", "stopped", "failed", "lost", "cancelled", "paused"]

  // A sentence with its web addresses as links.
  const linked = (sentence) => sentence.split(/(https?:\/\/[^\s]+[^\s.,;])/).map((part, place) =>
    place % 2 ? make("a", { href: part, target: "_blank", rel: "noopener noreferrer" }, part) : part)

  const ERROR = /^(\d\d:\d\d:\d\d +)?(Error:|Traceback|([\w.]*\.)?\w*(Error|Exception|Interrupt)\b)/, NOTE = /^(\d\d:\d\d:\d\d +)?(Note|Warning):/
  const lineKind = (line) => ERROR.test(line) ? "bad" : NOTE.test(line) ? "warn" : false
  const called = (run) => `${run.name} · ${when(run.created)} · ${words(run.state)}`

  class Live {
    constructor(place) {
      this.place = place
      this.run = null
      this.forget()
      this.build()
      this.tick()
    }

    forget() {
      this.known = { generation: -1, points: 0, validation: -1, samples: -1, log: -1 }
      this.points = []; this.validation = []; this.shown = {}
      this.samples?.forget()
    }

    // What stands there already may be under somebody's finger: only what changed is made anew.
    isNew(part, value) {
      const now = JSON.stringify(value)
      if (this.shown[part] === now) return false
      this.shown[part] = now
      return true
    }

    build() {
      this.choice = make("select", { id: "live-run", "aria-label": t("Run"), onchange: () => this.show(this.choice.value) })
      this.badge = make("span", { id: "live-state", role: "status" })
      this.detail = make("span", { class: "detail" })
      this.bar = make("progress", { max: 1, value: 0, "aria-label": t("Progress") })
      this.facts = make("dl", { class: "facts" })
      this.machine = make("p", { class: "machine" })
      this.failure = make("div", { id: "live-failure", role: "alert" })
      this.said = make("p", { class: "said", role: "status" })
      this.notices = make("ul", { class: "notices" })
      this.history = make("ul", { class: "notices history" })
      const samples = make("section", { id: "live-samples" })
      this.samples = new Samples(samples)
      this.saved = make("section", { id: "live-saved", hidden: true })
      this.log = make("pre", { id: "live-log", tabindex: "0" })
      this.whole = make("a", { class: "keep", download: "" }, t("Download"))
      const tools = make("div", { class: "log-tools" }, copier(t("Copy"), () => this.log.textContent, { id: "live-copy-log" }), this.whole)
      this.logPart = make("details", { class: "log", ontoggle: () => this.logPart.open && this.tick() }, make("summary", {}, t("Log")), tools, this.log)
      this.folder = make("p", { class: "folder" })
      this.board = make("div", { class: "board" })
      this.buildButtons()
      this.buildChange()
      this.buildCurve()
      this.body = make("div", { hidden: true },
        make("div", { class: "state-line" }, this.badge, this.detail), this.bar, this.facts, this.machine, this.buttons, this.changing, this.said, this.failure,
        this.notices, this.history, this.curvePart, samples, this.saved, this.logPart, this.folder)
      this.nothing = make("p", { class: "nothing" }, t("No run yet. Press Start, and it is shown here: progress, loss, samples and log."))
      this.title = make("h2", {}, t("Run"))
      this.head = make("div", { class: "run-head" }, this.title, this.choice)
      put(this.place, this.head, this.nothing, this.body, this.board)
    }

    buildButtons() {
      const ask = (what, words, title) => button(words, () => this.ask(what), { id: `live-${what}`, title })
      this.going = [
        ask("stop", t("Stop and save"), t("Ends after this step and keeps what was learned")), this.stopNow(),
        button(t("Pause"), () => this.act("pause"), { id: "live-pause", title: t("Saves where it stands and frees the memory, to be resumed exactly") }),
        ask("save", t("Save now"), t("Saves and goes on")), ask("sample", t("Sample now"), t("Draws the prompts and goes on")),
        button(t("Change …"), () => this.openChange(), { id: "live-change", "aria-expanded": "false", title: t("Another learning rate or another end") }),
      ]
      this.resume = button(t("Resume"), () => this.act("resume"), { id: "live-resume", hidden: true })
      this.cancel = button(t("Take out of the queue"), () => this.act("cancel"), { id: "live-cancel", hidden: true })
      this.buttons = make("div", { class: "buttons" }, ...this.going, this.resume, this.cancel)
    }

    // What was learned since the last file is lost, so it takes a second press.
    stopNow() {
      const said = t("Stop now")
      const made = button(said, () => {
        if (made.classList.contains("sure")) { this.spare(); return this.ask("stop_now") }
        made.textContent = t("Lose what is not saved?"); made.classList.add("sure")
      }, { id: "live-stop_now", title: t("Ends at once, without saving"), "aria-live": "polite", onblur: () => this.spare() })
      this.spare = () => { made.textContent = said; made.classList.remove("sure") }
      return made
    }

    buildChange() {
      this.factor = make("input", { id: "live-factor", inputmode: "decimal", size: 6, autocomplete: "off" })
      this.end = make("input", { id: "live-end", inputmode: "numeric", size: 8, autocomplete: "off" })
      this.changing = make("form", { class: "changing", hidden: true, onsubmit: (event) => { event.preventDefault(); this.change() } },
        this.rates = make("p", {}), make("label", {}, t("Learning rates ×"), this.factor), make("label", {}, t("End at step"), this.end), make("button", { type: "submit" }, t("Change it")),
        make("p", {}, t("From the next step on. The factor is of the rates in the settings; the schedule is stretched to a new end.")))
    }

    buildCurve() {
      const canvas = make("canvas", { role: "img", "aria-label": t("Loss over the steps") }), tip = make("span", { class: "tip", hidden: true })
      this.chart = new window.runs.RunChart(canvas, tip)
      const smooth = smoothing((much) => { this.chart.much = much; this.chart.renew() })
      const tab = ([mode, said]) => button(said, () => this.curve(mode), { "data-mode": mode, "aria-pressed": String(mode === "loss") })
      this.tabs = make("div", { class: "tabs", role: "group", "aria-label": t("Curve") }, ...[["loss", t("Loss")], ["rates", t("Learning rate")]].map(tab))
      this.smooth = smooth
      this.legend = make("span", { class: "legend", hidden: true }, t("validation"))
      this.curvePart = make("section", { id: "live-curve", hidden: true }, make("div", { class: "curve-head" }, this.tabs, this.legend, smooth), make("div", { class: "canvas" }, canvas, tip))
    }

    // What stands there is another run's until the answer about this one is there.
    show(run) {
      this.run = run; this.listed = 0; this.said.textContent = ""
      this.body.inert = true
      this.forget(); put(this.log); this.closeChange(); this.spare(); this.tick()
    }

    async tick() {
      clearTimeout(this.timer)
      const isLast = latest(this, "asking")
      let wait = SLOW
      try {
        if (!this.listed || Date.now() - this.listed > SLOW || !this.run) await this.list()
        if (this.run) wait = await this.refresh(isLast) ? QUICK : SLOW
        this.place.classList.remove("cut-off")
      } catch (error) {
        if (!isLast()) return
        this.place.classList.add("cut-off")
        this.said.textContent = error instanceof TypeError ? t("The app does not answer; training is not affected. Trying again …") : error.message
        this.broken = true
        if (error.status === 404) { this.run = null; this.forget() }
      }
      if (isLast()) this.timer = setTimeout(() => this.tick(), document.hidden ? SLOW : wait)
    }

    async list() {
      const isLast = latest(this, "listing")
      const { runs, tensorboard } = await call("runs")
      if (!isLast()) return
      this.listed = Date.now()
      if (!this.run && runs.length) this.run = (runs.find(({ state }) => state !== "queued") ?? runs[0]).id
      this.head.classList.toggle("empty", !runs.length)
      this.nothing.hidden = Boolean(runs.length)
      this.body.hidden = !this.run
      if (this.isNew("runs", runs.map(({ id, state }) => [id, state]))) put(this.choice, ...runs.map((run) => make("option", { value: run.id }, called(run))))
      this.choice.value = this.run || ""
      this.showBoard(tensorboard)
    }

    async refresh(isLast) {
      const run = this.run
      const known = { ...this.known, log: this.logPart.open ? this.known.log : SHUT }
      const state = await call(`${of(run)}/state?${new URLSearchParams(known)}`)
      if (run !== this.run || !isLast()) return true
      if (this.broken) { this.said.textContent = ""; this.broken = false }
      this.body.hidden = this.body.inert = false
      this.showState(state)
      this.showCurve(state)
      if (state.samples) { this.known.samples = state.samples.length; this.samples.show(run, state.samples) }
      if (state.log) this.showLog(state.log)
      return state.alive || state.state === "queued"
    }

    showState(state) {
      this.state = state
      if (this.isNew("state", state.state)) { this.badge.textContent = words(state.state); this.badge.className = kind(state.state) }
      this.place.dataset.state = state.state
      const entry = [...this.choice.options].find((option) => option.value === state.id)
      if (entry) entry.textContent = called(state)
      const quiet = state.silent && t("Nothing new for {time}; the log may say why.", { time: duration(state.silent) })
      this.detail.textContent = state.held || state.queue || quiet || (state.progress ? work(state.progress) : state.message)
      this.showTitle(state)
      this.showProgress(state)
      this.showFacts(state)
      this.showMachine(state)
      this.showButtons(state)
      this.showFailure(state)
      if (this.isNew("notices", state.notices)) put(this.notices, ...state.notices.map(({ key, message }) => make("li", {}, key && make("b", {}, `${key}: `), ...linked(message))))
      if (this.isNew("history", state.history)) put(this.history, ...state.history.map((change) => make("li", {}, told(change))))
      if (this.isNew("files", state.files)) this.showFiles(state)
    }

    // How far the run is, and how it ended, to be read on the browser's tab.
    showTitle({ id, alive, state, name, step, total }) {
      this.pageTitle ??= document.title
      const going = alive && !ENDED.includes(state)
      if (going) this.watched = id
      const said = going ? total && `${Math.floor(100 * step / total)} %` : this.watched === id && words(state)
      document.title = said ? `${said} · ${name} · ${this.pageTitle}` : this.pageTitle
    }

    showFiles({ id, files, folder }) {
      const base = (file) => file.split(/[\\/]/).pop()
      const link = ({ file, bytes: size }) => size === null ? make("code", { title: file }, base(file))
        : make("a", { class: "keep", href: address(`${of(id)}/trained/${encodeURIComponent(base(file))}`), download: base(file), title: t("Download {file}", { file }) }, base(file))
      this.saved.hidden = !files.length
      put(this.saved, make("h3", {}, t("Saved")), make("ul", {}, ...files.map((saved) => make("li", {}, link(saved),
        make("span", {}, [saved.bytes !== null && bytes(saved.bytes), t("at step {step}", { step: number(saved.step ?? 0) }), saved.replaced && t("written over since")].filter(Boolean).join(" · ")),
        copier(t("Copy path"), () => saved.file, { class: "quiet", "aria-label": `${t("Copy path")}: ${saved.file}` })))))
      this.whole.href = address(`${of(id)}/console.log`)
      put(this.folder, t("Folder of the run"), make("code", {}, folder), copier(t("Copy path"), () => folder, { class: "quiet" }))
    }

    showFacts(state) {
      const of = (done, total) => total ? t("{done} of {total}", { done: number(done), total: number(total) }) : number(done)
      const facts = [
        [t("step"), of(state.step, state.total)],
        state.epoch && [t("epoch"), of(state.epoch, state.plan.epochs)],
        state.loss !== null && [t("loss"), state.loss.toFixed(4)],
        state.validation !== null && [t("validation"), state.validation.toFixed(4)],
        state.rate && [t("pace"), pace(state.rate)],
        state.left !== null && state.left !== undefined && [t("left"), duration(state.left), t("With the samples and files that are still to come")],
        state.elapsed !== null && [ENDED.includes(state.state) ? t("took") : t("running"), duration(state.elapsed)],
      ].filter(Boolean)
      put(this.facts, ...facts.map(([name, value, title]) => make("div", { title }, make("dt", {}, name), make("dd", {}, String(value)))))
    }

    showMachine({ alive, machine }) {
      this.machine.hidden = !alive || !machine
      if (this.machine.hidden) return
      const memory = ({ used, total }) => t("{used} of {total}", { used: bytes(used), total: bytes(total) })
      const gpus = machine.gpus.map((gpu) => [gpu.name, gpu.load !== null && `${gpu.load} %`, gpu.memory && memory(gpu.memory), gpu.degrees !== null && `${gpu.degrees} °C`].filter(Boolean).join(" "))
      this.machine.textContent = [t("Processor {load} %", { load: Math.round(machine.cpu) }), `${t("memory")} ${memory(machine.memory)}`, ...gpus].join(" · ")
    }

    showButtons(state) {
      const over = ENDED.includes(state.state), going = state.alive && !over
      for (const each of this.going) {
        const what = each.id.slice(5), asked = state.asked.includes(what)
        each.hidden = !going
        each.disabled = asked || (state.asked.includes("stop") && what === "pause")
        each.classList.toggle("asked", asked)
      }
      if (!going) { this.closeChange(); this.spare() }
      this.resume.hidden = !over || state.state_step === null || state.state_step === undefined
      if (!this.resume.hidden) this.resume.textContent = t("Resume from step {step}", { step: number(state.state_step) })
      this.cancel.hidden = state.state !== "queued"
      this.buttons.hidden = [...this.buttons.children].every((each) => each.hidden)
    }

    showProgress({ state, alive, progress, step, total }) {
      if (state === "done") this.bar.value = 1
      else if (progress?.total) this.bar.value = progress.done / progress.total
      else if (total) this.bar.value = step / total
      else if (alive) this.bar.removeAttribute("value")
      else this.bar.value = 0
    }

    showFailure({ id, failure }) {
      if (!this.isNew("failure", [id, failure])) return
      const report = () => `${this.failure.firstChild.textContent}\n\n${this.log.textContent}`
      put(this.failure, ...(failure ? [
        make("div", {}, make("p", {}, failure.sentence || t("The run failed; the log says more.")),
          failure.problems.length > 1 && make("ul", {}, ...failure.problems.map(({ key, message }) => make("li", {}, `${key ? key + ": " : ""}${message}`)))),
        make("div", { class: "buttons" }, make("a", { class: "keep", href: `./?run=${encodeURIComponent(id)}` }, t("Open as form")), copier(t("Copy with the log"), report)),
      ] : []))
      if (failure) { this.logPart.open = true; this.seekError = true }
    }

    showLegend() { this.legend.hidden = !this.validation.length || this.chart.mode !== "loss" }

    curve(mode) {
      this.chart.mode = mode
      this.smooth.hidden = mode !== "loss"
      this.showLegend()
      for (const each of this.tabs.children) each.setAttribute("aria-pressed", String(each.dataset.mode === mode))
      this.chart.renew()
    }

    showCurve({ curve, total, validations }) {
      this.curvePart.hidden = !curve.points.length && !this.points.length
      if (validations) { this.validation = validations; this.known.validation = validations.length }
      else if (curve.points.length === 0 && curve.from >= this.points.length) return
      const before = validations ? null : this.points.at(-1)
      this.points = [...this.points.slice(0, curve.from), ...curve.points]
      this.known.generation = curve.generation
      this.known.points = this.points.length
      this.showLegend()
      if (before !== this.points.at(-1)) this.chart.show(this.points, curve.rates, total, this.validation)
    }

    showLog({ text, size }) {
      this.known.log = size
      const atEnd = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 40
      put(this.log, ...(text ? text.split("\n").map((line) => make("span", { class: lineKind(line) }, `${line}\n`)) : [t("Nothing was printed yet.")]))
      if (atEnd) this.log.scrollTop = this.log.scrollHeight
      const error = this.seekError && [...this.log.querySelectorAll(".bad")].at(-1)
      if (error) { this.log.scrollTop = error.offsetTop - this.log.offsetTop - this.log.clientHeight / 2; this.seekError = false }
    }

    showBoard(running) {
      if (running === this.shown.board) return
      this.shown.board = running
      const act = (id, said, action) => button(said, action, { id: `board-${id}` })
      put(this.board, make("span", {}, "TensorBoard"), ...(running ? [
        make("a", { id: "board-open", href: address("tensorboard/ui/"), target: "_blank", rel: "noopener" }, t("Open")),
        act("stop", t("Stop"), () => this.steer("stop"))] : [act("start", t("Start"), () => this.steer("start"))]))
    }

    async steer(what) {
      const pressed = this.board.querySelector("button")
      pressed.disabled = true
      pressed.textContent = what === "start" ? t("Starting …") : t("Stopping …")
      let said = ""
      try { await post(`tensorboard/${what}?run_id=${encodeURIComponent(this.run || "")}`) } catch (error) { said = error.message }
      this.shown.board = undefined
      await this.list()
      if (said) this.board.append(make("p", { class: "said" }, said))
    }

    // What a button asks for; what can't be done is said beneath.
    async do(path, body) {
      const { run } = this
      let done = true
      try { this.said.textContent = ""; await post(`${of(run)}/${path}`, body) } catch (error) {
        if (run === this.run) this.said.textContent = error.message
        done = false
      }
      this.tick()
      document.dispatchEvent(new Event("runs-changed"))
      return done
    }
    ask(what) { return this.do(`ask/${what}`) }
    act(what) { return this.do(`do/${what}`) }

    openChange() {
      if (!this.changing.hidden) return this.closeChange()
      this.factor.value = short(this.state.rate_factor)
      this.end.value = this.state.total ?? ""
      const now = this.points.at(-1)?.[4] ?? []
      this.rates.textContent = now.length ? t("Learning rates now: {rates}", { rates: this.chart.rates.map((name, i) => `${name} ${short(now[i])}`).join(", ") }) : ""
      this.changing.hidden = false
      document.getElementById("live-change").setAttribute("aria-expanded", "true")
      this.factor.focus()
    }

    closeChange() {
      this.changing.hidden = true
      this.going.at(-1).setAttribute("aria-expanded", "false")
    }

    async change() {
      const asked = {}, factor = this.factor.value.trim().replace(",", "."), end = this.end.value.trim()
      if (factor && factor !== short(this.state.rate_factor)) asked.rate_factor = Number.isFinite(+factor) ? +factor : factor
      if (end && +end !== this.state.total) asked.total_steps = Number.isFinite(+end) ? +end : end
      if (!Object.keys(asked).length) return this.closeChange()
      if (await this.do("change", asked)) this.closeChange()
    }
  }

  function work({ what, done, total, left }) {
    const far = t("{what}: {done} of {total}", { what, done: number(done), total: number(total) })
    return left ? `${far} · ${t("{time} left", { time: duration(left) })}` : far
  }

  function told({ step, rate_factor, total_steps }) {
    const parts = [rate_factor !== undefined && t("learning rates × {factor}", { factor: short(rate_factor) }), total_steps !== undefined && t("end at step {step}", { step: number(total_steps) })]
    return `${t("Changed at step {step}", { step: number(step) })}: ${parts.filter(Boolean).join(", ")}`
  }

  whenThere("live", (place) => { window.live = new Live(place) })
})()
