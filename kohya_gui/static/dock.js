// On a small screen the plan stands far below the form: a bar at the foot starts, says how many problems there are, and leads to them.
(() => {
  const { make, put, button, bring, whenThere } = window.kit
  const t = window.t

  whenThere("start", (start) => {
    const there = () => bring(document.getElementById("start-card"))
    const plan = button(t("Plan"), there, { id: "dock-plan" })
    const go = button(start.textContent, () => { start.click(); there() }, { id: "dock-start" })
    const dock = make("div", { id: "dock", role: "group", "aria-label": t("Start") }, plan, go)
    document.querySelector(".gradio-container").append(dock)
    document.addEventListener("form-facts", () => {
      const { wrong } = window.trainForm.facts()
      put(plan, wrong ? t("{count} to put right", { count: wrong }) : t("Plan"))
      plan.classList.toggle("bad", wrong > 0)
      put(go, start.textContent)
    })
    new IntersectionObserver(([{ isIntersecting }]) => { dock.hidden = isIntersecting }).observe(start)
  })
})()
