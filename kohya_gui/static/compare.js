// Several runs side by side: what differs in their settings, their curves in one chart, their samples by prompt and step.
(() => {
  const { make, put, button, number, call } = window.kit
  const { duration, when, words, stepName, picture, smoothing, smoothed, LineChart } = window.runs
  const t = window.t
  const LINES = 8
  const shown = (value) => value === null || value === undefined || value === "" ? t("not set") : value === true ? t("yes") : value === false ? t("no") : Array.isArray(value) ? value.join(" ") : String(value)

  class Comparison {
    constructor(ids) {
      this.dialog = make("dialog", { id: "compare", "aria-label": t("Comparison"), onclose: () => this.dialog.remove() }, make("p", {}, t("Reading the runs …")))
      document.getElementById("runs").append(this.dialog)
      this.dialog.showModal()
      call(`compare?${new URLSearchParams(ids.map((id) => ["run", id]))}`).then((found) => this.build(found), (error) => this.failed(error))
    }

    close() { return button(t("Close"), () => this.dialog.close(), { id: "compare-close" }) }

    failed(error) { put(this.dialog, make("div", { class: "compare-head" }, make("h2", {}, t("Comparison")), this.close()), make("p", { role: "alert" }, error.message)) }

    build({ runs, settings, curves, samples }) {
      const alike = (run) => runs.filter(({ name }) => name === run.name).length > 1
      this.runs = runs.map((run) => alike(run) ? { ...run, name: `${run.name} · ${when(run.created, true)}` } : run)
      put(this.dialog, make("div", { class: "compare-head" }, make("h2", {}, t("Comparison")), this.close()),
        this.curvePart(curves), this.table(settings), this.samplePart(samples))
      this.draw()
    }

    head(corner) {
      return make("thead", {}, make("tr", {}, make("th", { scope: "col" }, corner), ...this.runs.map((run, i) =>
        make("th", { scope: "col" }, make("span", { class: "key", style: `background: var(--line-${1 + i % LINES})` }), run.name))))
    }

    table(settings) {
      const row = (label, title, values) => make("tr", {}, make("th", { scope: "row", title }, label), ...values.map((value) => make("td", {}, value)))
      const rows = [
        row(t("State"), "", this.runs.map((run) => words(run.state))),
        row(t("Steps done"), "", this.runs.map((run) => number(run.step))),
        row(t("Loss"), "", this.runs.map((run) => Number.isFinite(run.loss) ? run.loss.toFixed(4) : "")),
        row(t("Took"), "", this.runs.map((run) => run.elapsed === null ? "" : duration(run.elapsed))),
        ...settings.map(({ key, label, values }) => row(t(label), key, values.map(shown))),
      ]
      return make("section", { id: "compare-settings" }, make("h3", {}, settings.length ? t("What differs") : t("The settings are the same")),
        make("div", { class: "scroll", tabindex: "0" }, make("table", {}, this.head(""), make("tbody", {}, ...rows))))
    }

    curvePart(curves) {
      const canvas = make("canvas", { role: "img", "aria-label": t("Loss over the steps") }), tip = make("span", { class: "tip", hidden: true })
      this.curves = curves
      this.chart = new LineChart(canvas, tip)
      const smooth = smoothing((much) => { this.much = much; this.draw() })
      return make("section", { id: "compare-curves" }, make("div", { class: "compare-head" }, make("h3", {}, t("Loss")), smooth), make("div", { class: "canvas" }, canvas, tip))
    }

    draw() {
      const lines = this.curves.flatMap(({ points }, i) => {
        const steps = points.map((p) => p[0]), raw = points.map((p) => p[1]), colour = `--line-${1 + i % LINES}`
        return [{ name: this.runs[i].name, steps, values: this.much ? smoothed(raw, this.much) : raw, colour, width: 1.8, main: true }]
      })
      this.chart.set({ lines })
    }

    // Of each run the picture of the same prompt at that step, or the last one before it.
    samplePart(samples) {
      const steps = [...new Set(samples.flat().map(({ step }) => step))].sort((a, b) => a - b)
      const prompts = [...new Set(samples.flat().map(({ prompt }) => prompt || ""))]
      if (!steps.length) return make("section", {})
      const words = make("output", {}), body = make("tbody", {})
      const place = () => {
        const step = steps[slider.value]
        words.textContent = stepName(step)
        put(body, ...prompts.map((prompt) => make("tr", {}, make("th", { scope: "row" }, prompt), ...samples.map((own, i) => {
          const found = own.filter((sample) => (sample.prompt || "") === prompt && sample.step <= step).sort((a, b) => b.step - a.step)[0]
          return make("td", {}, found ? picture(this.runs[i].id, found, own) : "")
        }))))
      }
      const slider = make("input", { type: "range", min: 0, max: steps.length - 1, value: steps.length - 1, "aria-label": t("Step"), oninput: place })
      place()
      return make("section", { id: "compare-samples" }, make("h3", {}, t("Samples")), make("div", { class: "step-slider" }, slider, words),
        make("div", { class: "scroll", tabindex: "0" }, make("table", {}, this.head(t("Prompt")), body)))
    }
  }

  window.runs.compare = (ids) => new Comparison(ids)
})()
