// The live view of a run: asks the app's plain routes every second or so and shows what the run's folder says.
(() => {
  const QUICK = 1000, SLOW = 4000
  const STATE_KINDS = { done: "good", stopped: "quiet", failed: "bad", lost: "bad" }
  // Only the path: behind a proxy the app may not know under which scheme and name it is seen.
  const root = () => new URL(window.gradio_config?.root || "/", location.href).pathname.replace(/\/$/, "")
  const address = (path) => `${root()}/live/${path}`

  function make(tag, attributes = {}, ...children) {
    const made = document.createElement(tag)
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value)
      else if (name === "class") made.className = value
      else if (value === true) made.setAttribute(name, "")
      else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value)
    }
    made.append(...children.filter((child) => child !== null && child !== undefined))
    return made
  }
  const put = (place, ...children) => place.replaceChildren(...children.filter(Boolean))
  const number = (value) => value.toLocaleString("en")

  function duration(seconds) {
    const s = Math.round(seconds), parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]]
    const first = parts.findIndex(([size]) => s >= size)
    if (first < 0) return "0 s"
    const [size, unit] = parts[first], [next, small] = parts[first + 1] || []
    const rest = next ? Math.floor((s % size) / next) : 0
    return `${Math.floor(s / size)} ${unit}` + (rest ? ` ${rest} ${small}` : "")
  }
  const pace = (rate) => rate >= 1 ? `${rate.toFixed(rate < 10 ? 2 : 1)} steps/s` : `${(1 / rate).toFixed(1)} s/step`

  async function call(path, options) {
    const answer = await fetch(address(path), options)
    if (answer.status === 401) throw new Error("You are signed out; load the page again.")
    const content = await answer.json()
    if (!answer.ok) throw new Error(content.error || content.detail || `The app answered ${answer.status}.`)
    return content
  }
  const post = (path) => call(path, { method: "POST", headers: { "x-live": "1" } })

  class Live {
    constructor(place) {
      this.place = place
      this.run = null
      this.forget()
      this.build()
      this.tick()
    }

    forget() { this.known = { generation: -1, points: 0, samples: -1, log: -1 }; this.points = []; this.shown = {} }

    build() {
      this.choice = make("select", { id: "live-run", "aria-label": "Run", onchange: () => this.show(this.choice.value) })
      this.badge = make("span", { id: "live-state", role: "status" })
      this.detail = make("span", { class: "detail" })
      this.bar = make("progress", { max: 1, value: 0, "aria-label": "Progress" })
      this.facts = make("dl", { class: "facts" })
      this.failure = make("div", { id: "live-failure", role: "alert" })
      this.buttons = make("div", { class: "buttons" }, ...[
        ["stop", "Stop and save", "Ends after this step and keeps what was learned"], ["stop_now", "Stop now", "Ends at once, without saving"],
        ["save", "Save now", "Saves and goes on"], ["sample", "Sample now", "Draws the prompts and goes on"],
      ].map(([what, words, title]) => make("button", { type: "button", id: `live-${what}`, title, onclick: () => this.ask(what) }, words)))
      this.said = make("p", { class: "said", role: "status" })
      this.notices = make("ul", { class: "notices" })
      const canvas = make("canvas", { role: "img", "aria-label": "Loss over the steps" }), tip = make("span", { class: "tip", hidden: true })
      this.chart = new window.LossChart(canvas, tip)
      this.tabs = make("div", { class: "tabs", role: "group", "aria-label": "Curve" }, ...[["loss", "Loss"], ["rates", "Learning rate"]].map(([mode, words]) =>
        make("button", { type: "button", "data-mode": mode, "aria-pressed": String(mode === "loss"), onclick: () => this.curve(mode) }, words)))
      this.curvePart = make("section", { id: "live-curve", hidden: true }, this.tabs, make("div", { class: "canvas" }, canvas, tip))
      this.samples = make("section", { id: "live-samples", hidden: true })
      this.saved = make("section", { id: "live-saved", hidden: true })
      this.log = make("pre", { id: "live-log", tabindex: "0" })
      this.logPart = make("details", { class: "log" }, make("summary", {}, "Log"), this.log)
      this.board = make("div", { class: "board" })
      this.body = make("div", { hidden: true },
        make("div", { class: "state-line" }, this.badge, this.detail), this.bar, this.facts, this.buttons, this.said, this.failure, this.notices,
        this.curvePart, this.samples, this.saved, this.logPart)
      this.nothing = make("p", { class: "nothing" }, "No run yet. Press Start, and it is shown here: progress, loss, samples and log.")
      this.head = make("div", { class: "run-head" }, make("h2", {}, "Run"), this.choice)
      put(this.place, this.head, this.nothing, this.body, this.board)
    }

    show(run) { this.follow = run; this.run = run; this.forget(); this.tick() }

    async tick() {
      clearTimeout(this.timer)
      const turn = this.turn = (this.turn || 0) + 1
      let wait = SLOW
      try {
        if (!this.listed || Date.now() - this.listed > SLOW || !this.run || this.follow) await this.list()
        if (this.run) wait = await this.refresh() ? QUICK : SLOW
        this.place.classList.remove("cut-off")
      } catch (error) {
        this.place.classList.add("cut-off")
        this.said.textContent = error instanceof TypeError ? "The app does not answer; training is not affected. Trying again …" : error.message
        this.broken = true
        if (this.run && !(error instanceof TypeError)) { this.run = null; this.forget() }
      }
      if (turn === this.turn) this.timer = setTimeout(() => this.tick(), document.hidden ? SLOW : wait)
    }

    async list() {
      const { runs, tensorboard } = await call("runs")
      this.listed = Date.now()
      if (this.follow && runs.some((run) => run.id === this.follow)) this.follow = null
      if (!this.run && runs.length) this.run = runs[0].id
      this.head.classList.toggle("empty", !runs.length)
      this.nothing.hidden = Boolean(runs.length)
      this.body.hidden = !this.run
      const wanted = runs.map((run) => `${run.id}|${run.words}`).join()
      if (wanted !== this.shown.runs) {
        put(this.choice, ...runs.map((run) => make("option", { value: run.id }, `${run.id} · ${run.words}`)))
        this.shown.runs = wanted
      }
      this.choice.value = this.run || ""
      this.showBoard(tensorboard)
    }

    async refresh() {
      const run = this.run
      const state = await call(`runs/${encodeURIComponent(run)}/state?${new URLSearchParams(this.known)}`)
      if (run !== this.run) return true
      if (this.broken) { this.said.textContent = ""; this.broken = false }
      this.body.hidden = false
      this.showState(state)
      this.showCurve(state)
      if (state.samples) this.showSamples(state.samples)
      if (state.log) this.showLog(state.log, state)
      return state.alive
    }

    showState(state) {
      this.state = state
      put(this.badge, state.words)
      this.badge.className = STATE_KINDS[state.state] || "going"
      this.place.dataset.state = state.state
      const entry = [...this.choice.options].find((option) => option.value === state.id)
      if (entry) entry.textContent = `${state.id} · ${state.words}`
      const doing = state.progress ? `${state.progress.what}: ${number(state.progress.done)} of ${number(state.progress.total)}` : state.message
      this.detail.textContent = doing || ""
      this.showProgress(state)
      const over = state.state in STATE_KINDS
      const facts = [
        ["step", state.total ? `${number(state.step)} of ${number(state.total)}` : number(state.step)],
        state.epoch && ["epoch", state.plan.epochs ? `${state.epoch} of ${state.plan.epochs}` : state.epoch],
        state.loss !== null && ["loss", state.loss.toFixed(4)],
        state.rate && ["pace", pace(state.rate)],
        state.left !== null && state.left !== undefined && ["left", duration(state.left)],
        state.elapsed !== null && [over ? "took" : "running", duration(state.elapsed)],
      ].filter(Boolean)
      put(this.facts, ...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, String(value)))))
      for (const button of this.buttons.children) {
        const what = button.id.slice(5)
        button.disabled = !state.alive || state.asked.includes(what)
        button.classList.toggle("asked", state.asked.includes(what))
      }
      this.buttons.hidden = !state.alive || over
      this.showFailure(state)
      put(this.notices, ...state.notices.map(({ message }) => make("li", {}, message)))
      this.saved.hidden = !state.saved.length
      put(this.saved, make("h3", {}, "Saved"), make("ul", {}, ...[...state.saved].reverse().slice(0, 6).map(({ file, step }) =>
        make("li", {}, make("code", { title: file }, String(file).split(/[\\/]/).pop()), ` at step ${number(step ?? 0)}`))))
    }

    showProgress({ state, alive, progress, step, total }) {
      if (state === "done") this.bar.value = 1
      else if (progress?.total) this.bar.value = progress.done / progress.total
      else if (total) this.bar.value = step / total
      else if (alive) this.bar.removeAttribute("value")
      else this.bar.value = 0
    }

    showFailure({ failure }) {
      const wanted = JSON.stringify(failure)
      if (wanted === this.shown.failure) return
      this.shown.failure = wanted
      put(this.failure, ...(failure ? [make("p", {}, failure.sentence || "The run failed; the log says more."),
        failure.problems.length > 1 && make("ul", {}, ...failure.problems.map(({ key, message }) => make("li", {}, `${key ? key + ": " : ""}${message}`)))] : []))
      if (failure) this.logPart.open = true
    }

    curve(mode) {
      this.chart.mode = mode
      for (const button of this.tabs.children) button.setAttribute("aria-pressed", String(button.dataset.mode === mode))
      this.chart.draw()
    }

    showCurve({ curve, total }) {
      if (curve.points.length === 0 && curve.from >= this.points.length) return
      const before = this.points.at(-1)
      this.points = [...this.points.slice(0, curve.from), ...curve.points]
      this.known.generation = curve.generation
      this.known.points = this.points.length
      this.curvePart.hidden = !this.points.length
      if (before !== this.points.at(-1)) this.chart.set(this.points, curve.rates, total)
    }

    showSamples(samples) {
      this.known.samples = samples.length
      this.samples.hidden = !samples.length
      if (!samples.length) return
      const steps = [...new Set(samples.map(({ step }) => step))].sort((a, b) => a - b)
      const rows = [...new Set(samples.map(({ index }) => index))].sort((a, b) => a - b)
      const at = new Map(samples.map((sample) => [`${sample.index}/${sample.step}`, sample]))
      const prompt = (index) => samples.findLast((sample) => sample.index === index).prompt || ""
      const table = make("table", {},
        make("thead", {}, make("tr", {}, ...steps.map((step) => make("th", { scope: "col" }, step ? `step ${number(step)}` : "before")))),
        ...rows.flatMap((index) => [
          make("tr", { class: "prompt" }, make("td", { colspan: steps.length }, make("span", { title: prompt(index) }, prompt(index)))),
          make("tr", {}, ...steps.map((step) => make("td", {}, at.has(`${index}/${step}`) ? this.picture(at.get(`${index}/${step}`)) : ""))),
        ]))
      const scroll = make("div", { class: "grid", tabindex: "0" }, table)
      put(this.samples, make("h3", {}, "Samples"), scroll)
      scroll.scrollLeft = scroll.scrollWidth
    }

    picture(sample) {
      const file = sample.file.split("/").pop()
      const source = `${address(`runs/${encodeURIComponent(this.run)}/samples/${encodeURIComponent(file)}`)}`
      const words = `${sample.prompt || ""} · step ${number(sample.step)}` + (sample.seed !== null && sample.seed !== undefined ? ` · seed ${sample.seed}` : "")
      const image = make("img", { src: source, alt: words, loading: "lazy", onload: () => image.classList.toggle("small", image.naturalWidth < 200) })
      return make("button", { type: "button", class: "picture", title: words, onclick: () => this.enlarge(source, words) }, image)
    }

    enlarge(source, words) {
      const image = make("img", { src: source, alt: words, onload: () => image.classList.toggle("small", image.naturalWidth < 400) })
      const dialog = make("dialog", { id: "live-picture", onclick: () => dialog.close(), onclose: () => dialog.remove() }, image, make("p", {}, words))
      document.body.append(dialog)
      dialog.showModal()
    }

    showLog({ text, size }) {
      this.known.log = size
      const atEnd = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 40
      this.log.textContent = text || "Nothing was printed yet."
      if (atEnd) this.log.scrollTop = this.log.scrollHeight
    }

    showBoard(running) {
      if (running === this.shown.board) return
      this.shown.board = running
      const button = (id, words, action) => make("button", { type: "button", id: `board-${id}`, onclick: action }, words)
      put(this.board, make("span", {}, "TensorBoard"), ...(running ? [
        make("a", { id: "board-open", href: address("tensorboard/ui/"), target: "_blank", rel: "noopener" }, "Open"),
        button("stop", "Stop", () => this.steer("stop"))] : [button("start", "Start", () => this.steer("start"))]))
    }

    async steer(what) {
      const button = this.board.querySelector("button")
      button.disabled = true
      button.textContent = what === "start" ? "Starting …" : "Stopping …"
      let said = ""
      try { await post(`tensorboard/${what}?run_id=${encodeURIComponent(this.run || "")}`) } catch (error) { said = error.message }
      this.shown.board = undefined
      await this.list()
      if (said) this.board.append(make("p", { class: "said" }, said))
    }

    async ask(what) {
      try { this.said.textContent = ""; await post(`runs/${encodeURIComponent(this.run)}/ask/${what}`) } catch (error) { this.said.textContent = error.message }
      this.tick()
    }
  }

  const waiting = new MutationObserver(() => {
    const place = document.getElementById("live")
    if (!place || place.childElementCount) return
    waiting.disconnect()
    window.live = new Live(place)
  })
  waiting.observe(document.documentElement, { childList: true, subtree: true })
})()
