// What the live view, the list of runs and their comparison have in common: words and figures of a run, its pictures.
(() => {
  const { make, put, button, number, address, recall, remember, copier } = window.kit
  const t = window.t
  const of = (run) => `runs/${encodeURIComponent(run)}`

  function duration(seconds) {
    const s = Math.round(seconds), parts = [[86400, t("d")], [3600, t("h")], [60, t("min")], [1, t("s")]]
    const first = parts.findIndex(([size]) => s >= size)
    if (first < 0) return `0 ${t("s")}`
    const [size, unit] = parts[first], [next, small] = parts[first + 1] || []
    const rest = next ? Math.floor((s % size) / next) : 0
    return `${Math.floor(s / size)} ${unit}` + (rest ? ` ${rest} ${small}` : "")
  }
  const pace = (rate) => rate >= 1 ? t("{n} steps/s", { n: rate.toFixed(rate < 10 ? 2 : 1) }) : t("{n} s/step", { n: (1 / rate).toFixed(1) })
  const bytes = (count) => count >= 1e9 ? `${(count / 1e9).toFixed(1)} GB` : count >= 1e6 ? `${Math.round(count / 1e6)} MB` : `${Math.ceil(count / 1000)} kB`
  const short = (value) => value === 0 ? "0" : Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5 ? value.toExponential(1).replace("+", "") : String(+value.toPrecision(3))

  const KINDS = { done: "good", stopped: "quiet", cancelled: "quiet", paused: "warn", queued: "quiet", failed: "bad", lost: "bad" }
  const WORDS = {
    starting: t("Starting"), loading: t("Loading the model"), caching: t("Preparing the images"), training: t("Training"), sampling: t("Drawing samples"),
    saving: t("Saving"), done: t("Done"), stopped: t("Stopped"), failed: t("Failed"), lost: t("Broken off"), queued: t("Waiting"),
    cancelled: t("Cancelled"), paused: t("Paused"),
  }
  const kind = (state) => KINDS[state] || "going"
  const words = (state) => WORDS[state] || state

  // A moment as a short text: the time of today, the day of another one. exact: to the second.
  function when(seconds, exact = false) {
    const moment = new Date(seconds * 1000), today = moment.toDateString() === new Date().toDateString()
    const day = today ? {} : { day: "numeric", month: "short", ...(moment.getFullYear() === new Date().getFullYear() ? {} : { year: "numeric" }) }
    return moment.toLocaleString(window.language, { ...day, hour: "2-digit", minute: "2-digit", ...(exact ? { second: "2-digit" } : {}) })
  }

  const source = (run, sample) => address(`${of(run)}/samples/${encodeURIComponent(sample.file.split("/").pop())}`)
  const stepName = (step) => step ? t("step {step}", { step: number(step) }) : t("before")
  const seedName = ({ seed }) => seed === null || seed === undefined ? "" : t("seed {seed}", { seed })
  const caption = (sample) => [sample.prompt, t("step {step}", { step: number(sample.step) }), seedName(sample)].filter(Boolean).join(" · ")

  // A sample's picture, which opens large. `all`: the samples of its run, through which one can go there.
  function picture(run, sample, all = [sample]) {
    const said = caption(sample)
    const image = make("img", { src: source(run, sample), alt: said, loading: "lazy", onload: () => image.classList.toggle("small", image.naturalWidth < 200) })
    return button(image, () => enlarge(run, sample, all), { class: "picture", title: said })
  }

  // Left and right go through the steps of a prompt, up and down through the prompts of a step.
  function enlarge(run, first, all) {
    let shown = first
    const image = make("img", { onload: () => image.classList.toggle("small", image.naturalWidth < 400) }), said = make("p", { role: "status" })
    const row = (key, other) => all.filter((sample) => sample[other] === shown[other]).sort((a, b) => a[key] - b[key])
    const beside = (key, other, by) => row(key, other)[row(key, other).indexOf(shown) + by]
    const go = (key, other, by) => { const next = beside(key, other, by); if (next) { shown = next; show() } }
    const before = button("‹", () => go("step", "index", -1), { "aria-label": t("Earlier step") }), after = button("›", () => go("step", "index", 1), { "aria-label": t("Later step") })
    const keep = make("a", { class: "keep" }, t("Save picture"))
    const show = () => {
      image.src = source(run, shown); image.alt = caption(shown)
      said.textContent = caption(shown)
      keep.href = image.src; keep.download = shown.file.split("/").pop()
      before.disabled = !beside("step", "index", -1); after.disabled = !beside("step", "index", 1)
    }
    const keys = { ArrowLeft: ["step", "index", -1], ArrowRight: ["step", "index", 1], ArrowUp: ["index", "step", -1], ArrowDown: ["index", "step", 1] }
    const dialog = make("dialog", { id: "live-picture", "aria-label": t("Sample"), onclose: () => dialog.remove(),
      onclick: ({ target }) => (target === dialog || target === image) && dialog.close(),
      onkeydown: (event) => { if (keys[event.key]) { event.preventDefault(); go(...keys[event.key]) } } },
      make("div", { class: "frame" }, before, image, after), said,
      make("div", { class: "buttons" }, copier(t("Copy prompt"), () => shown.prompt || ""), keep, button(t("Close"), () => dialog.close())))
    show()
    const page = document.querySelector(".gradio-container") ?? document.body
    page.append(dialog) // where the page's colours hold
    dialog.showModal()
  }

  // All samples of a run: prompts below each other and steps side by side, or one step that a slider chooses.
  class Samples {
    constructor(place) { this.place = place; this.forget() }

    forget() { this.all = []; this.stepAt = null; this.atEnd = true; this.place.hidden = true; put(this.place) }

    show(run, all) {
      this.run = run; this.all = all
      this.place.hidden = !all.length
      if (all.length) this.draw()
    }

    draw() {
      const steps = [...new Set(this.all.map(({ step }) => step))].sort((a, b) => a - b)
      const rows = [...new Set(this.all.map(({ index }) => index))].sort((a, b) => a - b)
      const tab = (byStep, said) => button(said, () => { this.byStep = byStep; this.draw() }, { "aria-pressed": String(Boolean(this.byStep) === byStep) })
      const tabs = make("div", { class: "tabs", role: "group", "aria-label": t("Samples") }, tab(false, t("All")), tab(true, t("Step by step")))
      const grid = () => this.place.querySelector(".grid"), top = grid()?.scrollTop ?? 0
      put(this.place, make("div", { class: "curve-head" }, make("h3", {}, t("Samples")), steps.length > 1 && tabs), ...(this.byStep ? this.oneStep(steps, rows) : this.everyStep(steps, rows)))
      grid().scrollTop = top
    }

    prompt(index) { return this.all.findLast((sample) => sample.index === index).prompt || "" }
    picture(index, step) {
      const sample = this.all.findLast((each) => each.index === index && each.step === step)
      return sample ? picture(this.run, sample, this.all) : ""
    }

    // The first column stays where it is, so that the newest pictures stand beside what there was before.
    everyStep(steps, rows) {
      const moved = () => {
        this.left = grid.scrollLeft; this.atEnd = this.left + grid.clientWidth > grid.scrollWidth - 8
        grid.classList.toggle("moved", this.left > 0)
      }
      const grid = make("div", { class: "grid", tabindex: "0", role: "region", "aria-label": t("Samples"), onscroll: moved }, make("table", {},
        make("thead", {}, make("tr", {}, ...steps.map((step) => make("th", { scope: "col" }, stepName(step))))),
        ...rows.flatMap((index) => [
          make("tr", { class: "prompt" }, make("td", { colspan: steps.length }, make("span", { title: this.prompt(index) }, this.prompt(index)))),
          make("tr", {}, ...steps.map((step) => make("td", {}, this.picture(index, step)))),
        ])))
      requestAnimationFrame(() => { grid.scrollLeft = this.atEnd ? grid.scrollWidth : this.left })
      return [grid]
    }

    // One learns more from pictures that change in place.
    oneStep(steps, rows) {
      const words = make("output", {}), grid = make("div", { class: "grid one-step" }), last = steps.length - 1
      const place = () => {
        const step = steps[this.stepAt ?? last] ?? steps[last]
        words.textContent = stepName(step)
        put(grid, ...rows.map((index) => make("figure", {}, this.picture(index, step), make("figcaption", { title: this.prompt(index) }, this.prompt(index)))))
      }
      const slider = make("input", { type: "range", min: 0, max: last, value: this.stepAt ?? last, "aria-label": t("Step"), oninput: () => { this.stepAt = +slider.value === last ? null : +slider.value; place() } })
      place()
      return [make("div", { class: "step-slider" }, slider, words), grid]
    }
  }

  const SMOOTHING = "kohya-gui-smoothing"
  // A slider that says how much a curve is smoothed, the same for all curves.
  function smoothing(changed) {
    const slider = make("input", { type: "range", min: 0, max: 1, step: 0.05, value: recall(SMOOTHING) ?? 0.5, oninput: () => { remember(SMOOTHING, slider.value); changed(+slider.value) } })
    changed(+slider.value)
    return make("label", { class: "smoothing" }, t("Smoothing"), slider)
  }

  window.runs = { Samples, duration, when, pace, bytes, short, of, kind, words, stepName, picture, smoothing }
})()
