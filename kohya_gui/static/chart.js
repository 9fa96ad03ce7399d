// A small line chart on a canvas: the loss raw and smoothed, and the learning rates on a scale of their own.
(() => {
  const PAD = { left: 46, right: 10, top: 10, bottom: 22 }
  const colour = (canvas, name) => getComputedStyle(canvas).getPropertyValue(name).trim()

  // Exponential average over about a twenty-fifth of the curve, corrected for its start.
  function smoothed(values) {
    const keep = 1 - 1 / Math.max(6, values.length / 25)
    let sum = 0, weight = 0
    return values.map((value) => { sum = keep * sum + (1 - keep) * value; weight = keep * weight + 1 - keep; return sum / weight })
  }

  // The middle 98 % of the values decide the scale, so that one outlier does not flatten the rest.
  function range(values, more) {
    const sorted = [...values].sort((a, b) => a - b)
    const low = Math.min(sorted[Math.floor(sorted.length * 0.01)], ...more), high = Math.max(sorted[Math.ceil(sorted.length * 0.99) - 1], ...more)
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

  const short = (value) => value === 0 ? "0" : Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5 ? value.toExponential(1).replace("+", "") : String(+value.toPrecision(3))

  class Chart {
    constructor(canvas, tip) {
      this.canvas = canvas; this.tip = tip; this.points = []; this.rates = []; this.total = 0; this.mode = "loss"
      canvas.addEventListener("mousemove", (event) => this.hover(event.offsetX))
      canvas.addEventListener("mouseleave", () => { this.at = null; this.draw() })
      new ResizeObserver(() => this.draw()).observe(canvas)
      document.addEventListener("colours", () => this.draw())
    }

    set(points, rates, total) { this.points = points; this.rates = rates; this.total = total || 0; this.draw() }

    lines() {
      if (this.mode === "rates") {
        return this.rates.map((name, i) => ({ name, values: this.points.map((p) => p[4][i]), colour: `--line-${1 + (i % 4)}`, width: 1.8 }))
      }
      const raw = this.points.map((p) => p[1])
      return [{ name: "loss", values: raw, colour: "--line-faint", width: 1 }, { name: "smoothed", values: smoothed(raw), colour: "--line-1", width: 2 }]
    }

    scales(lines) {
      const numbers = lines.flatMap((line) => line.values).filter(Number.isFinite)
      const first = Math.min(this.points[0][0], 1), last = Math.max(this.total, this.points.at(-1)[0], first + 1)
      const [low, high] = this.mode === "rates" ? [0, Math.max(...numbers) * 1.08 || 1] : range(numbers, lines[1].values)
      const width = this.width - PAD.left - PAD.right, height = this.height - PAD.top - PAD.bottom
      return {
        first, last, low, high,
        x: (step) => PAD.left + (step - first) / (last - first) * width,
        y: (value) => PAD.top + (1 - (value - low) / (high - low)) * height,
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
      if (!this.points.length) return
      const lines = this.lines(), scale = this.scales(lines)
      this.grid(pen, scale)
      pen.save()
      pen.beginPath(); pen.rect(PAD.left, PAD.top - 2, this.width - PAD.left - PAD.right + 2, this.height - PAD.top - PAD.bottom + 4); pen.clip()
      if (this.mode === "loss") this.band(pen, scale)
      lines.forEach((line) => this.line(pen, scale, line))
      pen.restore()
      if (this.at !== null && this.at !== undefined) this.mark(pen, scale, lines)
    }

    grid(pen, { first, last, low, high, x, y }) {
      pen.strokeStyle = colour(this.canvas, "--line-grid"); pen.fillStyle = colour(this.canvas, "--quiet"); pen.lineWidth = 1
      pen.textAlign = "right"; pen.textBaseline = "middle"
      for (const value of ticks(low, high, 4)) {
        pen.beginPath(); pen.moveTo(PAD.left, y(value)); pen.lineTo(this.width - PAD.right, y(value)); pen.stroke()
        pen.fillText(short(value), PAD.left - 6, y(value))
      }
      pen.textBaseline = "top"
      for (const step of ticks(first, last, 6)) {
        if (step !== Math.round(step)) continue
        pen.textAlign = x(step) > this.width - 30 ? "right" : "center"
        pen.fillText(step.toLocaleString("en"), x(step), this.height - PAD.bottom + 6)
      }
    }

    band(pen, { x, y }) {
      if (this.points.every((p) => p[2] === p[3])) return
      pen.fillStyle = colour(this.canvas, "--line-band"); pen.beginPath()
      this.points.forEach((p) => pen.lineTo(x(p[0]), y(p[3])))
      for (let i = this.points.length - 1; i >= 0; i--) pen.lineTo(x(this.points[i][0]), y(this.points[i][2]))
      pen.fill()
    }

    line(pen, { x, y }, line) {
      pen.strokeStyle = colour(this.canvas, line.colour); pen.lineWidth = line.width; pen.lineJoin = "round"; pen.beginPath()
      line.values.forEach((value, i) => Number.isFinite(value) && pen.lineTo(x(this.points[i][0]), y(value)))
      pen.stroke()
      if (this.points.length === 1) { pen.fillStyle = pen.strokeStyle; pen.beginPath(); pen.arc(x(this.points[0][0]), y(line.values[0]), 3, 0, 7); pen.fill() }
    }

    hover(offset) { this.at = offset; this.draw() }

    mark(pen, { x, y }, lines) {
      const near = this.points.reduce((best, p, i) => Math.abs(x(p[0]) - this.at) < Math.abs(x(this.points[best][0]) - this.at) ? i : best, 0)
      const px = x(this.points[near][0])
      pen.strokeStyle = colour(this.canvas, "--quiet"); pen.lineWidth = 1
      pen.beginPath(); pen.moveTo(px, PAD.top); pen.lineTo(px, this.height - PAD.bottom); pen.stroke()
      const words = lines.map((line) => `${line.name} ${short(line.values[near])}`).join(" · ")
      this.tip.textContent = `step ${this.points[near][0].toLocaleString("en")} · ${words}`
      this.tip.hidden = false
      const half = this.tip.offsetWidth / 2
      this.tip.style.left = `${Math.min(Math.max(px, half), this.width - half)}px`
    }
  }

  window.LossChart = Chart
})()
