// A small line chart on a canvas. Lines have steps and values of their own, so several runs fit into one chart.
(() => {
  const PAD = { left: 46, right: 10, top: 10, bottom: 22 }
  const colour = (canvas, name) => getComputedStyle(canvas).getPropertyValue(name).trim()

  // Exponential average, corrected for its start. `much`: 0 for none, 1 for over about an eighth of the curve.
  function smoothed(values, much) {
    const keep = 1 - 1 / (1 + values.length / 8 * much * much)
    let sum = 0, weight = 0
    return values.map((value) => { sum = keep * sum + (1 - keep) * value; weight = keep * weight + 1 - keep; return sum / weight })
  }

  // The middle 98 % of the values decide the scale, so that one outlier does not flatten the rest.
  function range(values, more) {
    const sorted = [...values].sort((a, b) => a - b)
    let low = sorted[Math.floor(sorted.length * 0.01)], high = sorted[Math.ceil(sorted.length * 0.99) - 1]
    for (const value of more) { low = Math.min(low, value); high = Math.max(high, value) }
    const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1
    return [low >= 0 ? Math.max(0, low - room) : low - room, high + room]
  }

  function ticks(low, high, count) {
    const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw))
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw)
    const found = []
    for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-6; at += step) found.push(Math.abs(at) < step * 1e-6 ? 0 : at)
    return found
  }

  function nearest(steps, step) {
    let low = 0, high = steps.length - 1
    while (high - low > 1) { const middle = (low + high) >> 1; if (steps[middle] < step) low = middle; else high = middle }
    return Math.abs(steps[low] - step) <= Math.abs(steps[high] - step) ? low : high
  }

  // lines: [{name, colour, width, steps, values, main}]. band: {steps, low, high}. floor: the scale begins at 0.
  class LineChart {
    constructor(canvas, tip) {
      this.canvas = canvas; this.tip = tip; this.lines = []; this.at = null
      canvas.addEventListener("pointermove", (event) => this.hover(event.offsetX))
      canvas.addEventListener("pointerleave", () => this.hover(null))
      new ResizeObserver(() => this.draw()).observe(canvas)
      document.addEventListener("colours", () => this.draw())
    }

    set({ lines, band = null, total = 0, floor = false }) {
      this.lines = lines.filter((line) => line.steps.length); this.band = band; this.total = total; this.floor = floor
      this.draw()
    }

    scales() {
      const finite = (lines) => lines.flatMap((line) => line.values).filter(Number.isFinite)
      const numbers = finite(this.lines), main = finite(this.lines.filter((line) => line.main))
      const first = Math.min(1, ...this.lines.map((line) => line.steps[0])), last = Math.max(this.total, first + 1, ...this.lines.map((line) => line.steps.at(-1)))
      const [low, high] = this.floor ? [0, numbers.reduce((most, value) => Math.max(most, value), 0) * 1.08 || 1] : range(numbers, main)
      const width = this.width - PAD.left - PAD.right, height = this.height - PAD.top - PAD.bottom
      return {
        first, last, low, high,
        x: (step) => PAD.left + (step - first) / (last - first) * width,
        y: (value) => PAD.top + (1 - (value - low) / (high - low)) * height,
        step: (x) => first + (x - PAD.left) / width * (last - first),
      }
    }

    draw() {
      const { canvas } = this, ratio = window.devicePixelRatio || 1
      this.width = canvas.clientWidth; this.height = canvas.clientHeight
      if (!this.width) return
      canvas.width = this.width * ratio; canvas.height = this.height * ratio
      const pen = canvas.getContext("2d")
      pen.scale(ratio, ratio)
      pen.font = "11px system-ui, sans-serif"
      this.tip.hidden = true
      if (!this.lines.length) return
      const scale = this.scales()
      this.grid(pen, scale)
      pen.save()
      pen.beginPath(); pen.rect(PAD.left, PAD.top - 2, this.width - PAD.left - PAD.right + 2, this.height - PAD.top - PAD.bottom + 4); pen.clip()
      if (this.band) this.shade(pen, scale, this.band)
      this.lines.forEach((line) => this.line(pen, scale, line))
      pen.restore()
      if (this.at !== null) this.mark(pen, scale)
    }

    grid(pen, { first, last, low, high, x, y }) {
      pen.strokeStyle = colour(this.canvas, "--line-grid"); pen.fillStyle = colour(this.canvas, "--quiet"); pen.lineWidth = 1
      pen.textAlign = "right"; pen.textBaseline = "middle"
      for (const value of ticks(low, high, 4)) {
        pen.beginPath(); pen.moveTo(PAD.left, y(value)); pen.lineTo(this.width - PAD.right, y(value)); pen.stroke()
        pen.fillText(window.runs.short(value), PAD.left - 6, y(value))
      }
      pen.textBaseline = "top"
      for (const step of ticks(first, last, 6)) {
        if (step !== Math.round(step)) continue
        pen.textAlign = x(step) > this.width - 30 ? "right" : "center"
        pen.fillText(step.toLocaleString("en"), x(step), this.height - PAD.bottom + 6)
      }
    }

    shade(pen, { x, y }, { steps, low, high }) {
      pen.fillStyle = colour(this.canvas, "--line-band"); pen.beginPath()
      steps.forEach((step, i) => pen.lineTo(x(step), y(high[i])))
      for (let i = steps.length - 1; i >= 0; i--) pen.lineTo(x(steps[i]), y(low[i]))
      pen.fill()
    }

    line(pen, { x, y }, { steps, values, ...line }) {
      pen.strokeStyle = colour(this.canvas, line.colour); pen.lineWidth = line.width; pen.lineJoin = "round"; pen.beginPath()
      values.forEach((value, i) => Number.isFinite(value) && pen.lineTo(x(steps[i]), y(value)))
      pen.stroke()
      if (steps.length === 1) { pen.fillStyle = pen.strokeStyle; pen.beginPath(); pen.arc(x(steps[0]), y(values[0]), 3, 0, 7); pen.fill() }
    }

    hover(offset) {
      this.at = offset
      cancelAnimationFrame(this.frame)
      this.frame = requestAnimationFrame(() => this.draw())
    }

    mark(pen, { x, step }) {
      const lead = this.lines.reduce((longest, line) => line.steps.length > longest.steps.length ? line : longest)
      const at = lead.steps[nearest(lead.steps, step(this.at))], px = x(at)
      pen.strokeStyle = colour(this.canvas, "--quiet"); pen.lineWidth = 1
      pen.beginPath(); pen.moveTo(px, PAD.top); pen.lineTo(px, this.height - PAD.bottom); pen.stroke()
      const reached = this.lines.filter((line) => line.name && line.steps.at(-1) >= at)
      const words = reached.map((line) => `${line.name} ${window.runs.short(line.values[nearest(line.steps, at)] ?? NaN)}`).join(" · ")
      this.tip.textContent = `${window.t("step {step}", { step: at.toLocaleString("en") })} · ${words}`
      this.tip.hidden = false
      const half = this.tip.offsetWidth / 2
      this.tip.style.left = `${Math.min(Math.max(px, half), Math.max(this.width - half, half))}px`
    }
  }

  // The curve of one run, as the app gives it: [step, mean, low, high, [rates]].
  class RunChart extends LineChart {
    constructor(canvas, tip) { super(canvas, tip); this.points = []; this.rates = []; this.mode = "loss"; this.much = 0.5; this.last = 0; this.validation = [] }

    // validation: [step, loss], where pictures were set apart for it.
    show(points, rates, total, validation) { this.points = points; this.rates = rates; this.last = total || 0; this.validation = validation; this.renew() }

    renew() {
      const steps = this.points.map((p) => p[0])
      if (this.mode === "rates") {
        const lines = this.rates.map((name, i) => ({ name, steps, values: this.points.map((p) => p[4][i]), colour: `--line-${1 + (i % 4)}`, width: 1.8, main: true }))
        return this.set({ lines, total: this.last, floor: true })
      }
      const raw = this.points.map((p) => p[1])
      const lines = [{ name: window.t("loss"), steps, values: raw, colour: this.much ? "--line-faint" : "--line-1", width: 1 }]
      if (this.much) lines.push({ name: window.t("smoothed"), steps, values: smoothed(raw, this.much), colour: "--line-1", width: 2, main: true })
      lines.push({ name: window.t("validation"), steps: this.validation.map(([step]) => step), values: this.validation.map(([, loss]) => loss), colour: "--line-3", width: 1.8, main: true })
      const joined = this.points.some((p) => p[2] !== p[3])
      const band = joined ? { steps, low: this.points.map((p) => p[2]), high: this.points.map((p) => p[3]) } : null
      this.set({ lines, band, total: this.last })
    }
  }

  Object.assign(window.runs, { LineChart, RunChart, smoothed })
})()
