// The plan's pictures as they are trained: cut to size, with their captions as they are read, and what is odd about them.
(() => {
  const PAGE = 48
  const { make, button, number, address, call } = window.kit
  const t = window.t

  class Details {
    constructor(plan, opener) {
      this.base = `plan/${plan}`
      this.kind = ""
      this.checks = make("div", { class: "checks" }, make("p", { class: "quiet" }, t("Looking at pictures and captions …")))
      this.grid = make("ol", { class: "grid" })
      this.pager = make("div", { class: "pager" })
      this.said = make("p", { class: "bad", role: "alert" })
      const close = button(t("Close"), () => this.dialog.close(), { class: "close" })
      this.dialog = make("dialog", { id: "plan-details", "aria-label": t("Pictures as they are trained"), onclose: () => { this.dialog.remove(); opener?.focus() } },
        make("header", {}, make("h2", {}, t("Pictures as they are trained")), this.pager, close), this.checks, this.said, this.grid)
      document.body.append(this.dialog)
      this.dialog.showModal()
      this.show(0)
      this.look()
    }

    async look() {
      try {
        const { count, checks, problems, twins, moves } = await call(`${this.base}/checks`)
        const filter = (kind, ...words) => button("", () => this.choose(kind), { "data-kind": kind, "aria-pressed": String(kind === this.kind) }, ...words)
        const list = problems.map(({ stops, words }) => make("li", { class: stops ? "bad" : "warn" }, words))
        const same = twins.map((names) => make("li", {}, names.join(" = ")))
        this.checks.replaceChildren(
          make("div", { class: "filters", role: "group", "aria-label": t("Which pictures are shown") }, filter("", t("All {count}", { count: number(count) })),
            ...checks.map(({ kind, words }) => filter(kind, words))),
          ...[!checks.length && !problems.length && make("p", { class: "good" }, t("Nothing odd was found: no broken, doubled or badly cut pictures, and no captions that are cut off.")),
            list.length && make("ul", { class: "sentences" }, ...list),
            same.length && make("details", {}, make("summary", {}, t("Pictures of the same content")), make("ul", {}, ...same)),
            moves && make("p", { class: "quiet" }, t("Here the middle is shown; in training each picture is cut at another place every time."))].filter(Boolean))
      } catch (error) { this.said.textContent = error.message }
    }

    choose(kind) {
      this.kind = kind
      for (const button of this.checks.querySelectorAll("[data-kind]")) button.setAttribute("aria-pressed", String(button.dataset.kind === kind))
      this.show(0)
    }

    async show(offset) {
      try {
        const turn = this.turn = (this.turn || 0) + 1
        const { found, items } = await call(`${this.base}/items?${new URLSearchParams({ kind: this.kind, offset, limit: PAGE })}`)
        if (turn !== this.turn) return
        this.grid.replaceChildren(...items.map((item) => this.card(item)))
        const step = (words, to, off) => button(words, () => { this.show(to); this.dialog.scrollTop = 0 }, { disabled: off })
        this.pager.hidden = found <= PAGE
        this.pager.replaceChildren(step(t("Back"), offset - PAGE, offset === 0), make("span", {}, `${number(offset + 1)}–${number(offset + items.length)} / ${number(found)}`),
          step(t("Next"), offset + PAGE, offset + PAGE >= found))
        this.said.textContent = ""
      } catch (error) { this.said.textContent = error.message }
    }

    card(item) {
      const image = make("img", { src: address(`${this.base}/crops/${item.place}`, { side: 320 }), alt: item.name, loading: "lazy", decoding: "async",
        onload: () => image.classList.toggle("small", image.naturalWidth < 200), onerror: () => image.replaceWith(make("span", { class: "bad" }, t("This picture can't be read."))) })
      const facts = [`${item.size.join(" × ")} → ${item.bucket.join(" × ")}`, item.repeats > 1 && `${number(item.repeats)} ×`,
        item.lost >= 0.01 && t("{share} % cut off", { share: Math.round(item.lost * 100) }), item.enlarged > 1.5 && t("{times} × enlarged", { times: item.enlarged.toFixed(1) }),
        item.is_reg && t("regularization"), item.is_kept_out && t("validation"), item.has_mask && t("mask")].filter(Boolean)
      const cut = item.cut === null ? item.caption.length : item.cut
      // Python counts signs, not UTF-16 units.
      const signs = [...item.caption]
      const caption = item.cut === null ? [item.caption] : [signs.slice(0, cut).join(""), make("mark", { title: t("not read any more") }, signs.slice(cut).join(""))]
      return make("li", {}, make("div", { class: "crop" }, image), make("b", { title: item.name }, item.name), make("p", { class: "quiet" }, facts.join(" · ")),
        make("p", { class: item.caption.trim() ? "caption" : "caption empty" }, ...(item.caption.trim() ? caption : [t("empty caption")]),
          item.more > 0 && make("span", { class: "quiet" }, ` ${t("and {count} more lines to choose from", { count: number(item.more) })}`)),
        make("p", { class: item.cut === null ? "quiet" : "warn" }, item.tokens === 1 ? t("1 token") : t("{count} tokens", { count: number(item.tokens) })))
    }
  }

  document.addEventListener("click", (event) => {
    const opener = event.target.closest?.(".plan-open")
    if (opener) new Details(opener.dataset.plan, opener)
  })
})()
