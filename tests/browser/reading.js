// What of a page is hard to read or nameless: texts with too little contrast to what is behind them (WCAG 2.2, 1.4.3),
// and headings that skip a level.
() => {
  const isEndless = (animation) => animation.effect.getComputedTiming().endTime === Infinity
  document.getAnimations().filter((one) => !isEndless(one)).forEach((one) => one.finish())
  const pen = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true })
  const parts = (colour) => {
    pen.clearRect(0, 0, 1, 1)
    pen.fillStyle = colour
    pen.fillRect(0, 0, 1, 1)
    const [red, green, blue, alpha] = pen.getImageData(0, 0, 1, 1).data
    return [red, green, blue, alpha / 255]
  }
  const over = ([r, g, b, a], below) => [r, g, b].map((value, at) => value * a + below[at] * (1 - a))
  const linear = (value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
  const luminance = (rgb) => rgb.map((value) => linear(value / 255)).reduce((sum, value, at) => sum + value * [0.2126, 0.7152, 0.0722][at], 0)
  const ancestors = (element) => element ? [element, ...ancestors(element.parentElement)] : []

  function behind(element) {
    const layers = ancestors(element).map((one) => parts(getComputedStyle(one).backgroundColor))
    const solid = layers.findIndex(([, , , alpha]) => alpha > 0.99)
    return layers.slice(0, solid < 0 ? undefined : solid + 1).reverse().reduce((below, layer) => over(layer, below), [255, 255, 255])
  }
  function contrast(element, colour) {
    const opacity = ancestors(element).reduce((product, one) => product * getComputedStyle(one).opacity, 1)
    const ground = behind(element), [r, g, b, alpha] = parts(colour)
    const both = [luminance(over([r, g, b, alpha * opacity], ground)), luminance(ground)]
    return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05)
  }
  function isShown(element) {
    const box = element.getBoundingClientRect()
    return box.width > 1 && box.height > 1 && element.checkVisibility({ opacityProperty: true, visibilityProperty: true })
      && !element.closest(":disabled, [aria-disabled=true], [aria-hidden=true], .unseen")
  }

  const faint = []
  function judge(element, text, colour) {
    const { fontSize, fontWeight } = getComputedStyle(element), size = parseFloat(fontSize)
    const needed = size >= 24 || (size >= 18.66 && Number(fontWeight) >= 700) ? 3 : 4.5
    const found = contrast(element, colour)
    if (found < needed) faint.push(`${text.slice(0, 40)} (${element.tagName.toLowerCase()}.${element.className}): ${found.toFixed(2)}`)
  }
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (texts.nextNode()) {
    const { parentElement: element, textContent } = texts.currentNode
    if (textContent.trim() && !element.closest("script, style, option") && isShown(element)) judge(element, textContent.trim(), getComputedStyle(element).color)
  }
  for (const field of document.querySelectorAll("input:not([type=checkbox], [type=radio]), textarea, select")) {
    if (!isShown(field)) continue
    if (field.value) judge(field, field.value, getComputedStyle(field).color)
    if (field.placeholder) judge(field, field.placeholder, getComputedStyle(field, "::placeholder").color)
  }
  const level = (heading) => heading ? Number(heading.tagName[1]) : 0
  const headings = [...document.querySelectorAll("h1, h2, h3, h4")].filter((one) => one.checkVisibility())
  const skipping = headings.filter((one, at) => level(one) > level(headings[at - 1]) + 1)
  return [...new Set(faint), ...skipping.map((one) => `${one.textContent}: a level is left out before it`)]
}
