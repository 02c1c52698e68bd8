// Pictures of one group frame the same place together: this event tells the others where, or that the pointer has left.
const POINT = "fcn-point"
const SVG = "http://www.w3.org/2000/svg"
const GAP = 3  // pixels between names, and between a name and the edge

export default function (component) {
  const { data: [data], parentElement, setStateValue, setTriggerValue } = component
  const find = selector => parentElement.querySelector(selector)
  const figure = find("figure"), photo = find(".photo"), over = find(".over"), svg = find("svg")
  const names = find(".names"), cell = find(".cell"), picked = find(".picked"), tip = find(".tip")
  const edge = find(".edge"), split = find(".split"), range = find("input")
  const pointing = data.values.length > 0

  figure.style.aspectRatio = data.width + " / " + data.height
  // The whole photograph and what stands above it fit on one screen, lying telephones included.
  figure.style.maxWidth = split.style.maxWidth = "calc(" + data.width / data.height + " * min(max(min(66vh, 100vh - 12.8rem), 12rem), 44rem))"
  if (photo.src !== data.photo) photo.src = data.photo
  photo.alt = data.alt
  if (!data.over) over.removeAttribute("src")
  else if (over.src !== data.over) over.src = data.over
  figure.classList.toggle("live", pointing)
  figure.tabIndex = pointing ? 0 : -1
  figure.setAttribute("role", pointing ? "application" : "group")
  figure.setAttribute("aria-label", data.alt + (!pointing ? "" :
    data.pickable ? ". Arrow keys walk over the cells, Enter picks one." : ". Arrow keys walk over the cells."))

  // Outlines: the photograph is dimmed where nothing is outlined.
  const draw = (tag, attributes, parent) => {
    const element = document.createElementNS(SVG, tag)
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
    parent.append(element)
    return element
  }
  svg.replaceChildren()
  names.replaceChildren()
  svg.setAttribute("viewBox", "0 0 " + data.width + " " + data.height)
  if (data.shapes.length) {
    const mask = draw("mask", { id: "rest" }, svg)
    draw("rect", { width: "100%", height: "100%", fill: "#fff" }, mask)
    for (const shape of data.shapes) draw("path", { d: shape.path, style: "fill:#000;fill-rule:evenodd" }, mask)
    draw("rect", { width: "100%", height: "100%", mask: "url(#rest)", class: "veil" }, svg)
    for (const shape of data.shapes) {
      draw("path", { d: shape.path, class: "casing" }, svg)
      draw("path", { d: shape.path, class: "line", style: "stroke:" + shape.colour }, svg)
    }
    for (const shape of data.shapes) {
      const button = document.createElement(data.choosable ? "button" : "span")
      if (data.choosable) button.type = "button"
      if (data.choosable) button.tabIndex = -1  // the same choice stands beside the photograph, in the page's order
      button.setAttribute("aria-hidden", "true")
      button.textContent = shape.name
      button.style.background = shape.colour
      button.style.color = shape.ink
      if (data.choosable) button.onclick = event => { event.stopPropagation(); setTriggerValue("chosen", shape.id) }
      names.append(button)
    }
  }

  // Each name stands above the highest point of its outline, inside the picture, and covers no other name.
  figure._arrange = () => {
    const wide = figure.clientWidth, high = figure.clientHeight, taken = []
    for (const [i, button] of [...names.children].entries()) {
      const shape = data.shapes[i], w = button.offsetWidth, h = button.offsetHeight
      const clamp = (value, most) => Math.max(Math.min(value, most - GAP), GAP)
      const left = clamp(shape.x * wide - w / 2, wide - w), wanted = clamp(shape.y * high - h - GAP, high - h)
      const beside = taken.filter(other => left < other.left + other.w + GAP && other.left < left + w + GAP)
      const free = [wanted, ...beside.flatMap(other => [other.top + other.h + GAP, other.top - h - GAP])].filter(top =>
        top >= 0 && top + h <= high && beside.every(other => top >= other.top + other.h || top + h <= other.top))
      const top = free.sort((a, b) => Math.abs(a - wanted) - Math.abs(b - wanted))[0] ?? wanted
      taken.push({ left, top, w, h })
      button.style.left = left + "px"
      button.style.top = top + "px"
    }
  }
  figure._watch ||= new ResizeObserver(() => figure._arrange())
  figure._watch.observe(figure)
  figure._arrange()

  // The map can be drawn aside, to see the photograph below it.
  const aside = () => {
    const share = Number(range.value)
    over.style.clipPath = share < 100 ? "inset(0 0 0 " + (100 - share) + "%)" : ""
    edge.style.display = data.aside && share > 0 && share < 100 ? "block" : "none"
    edge.style.left = 100 - share + "%"
    range.setAttribute("aria-valuetext", share + " % of the width shows the map")
  }
  split.hidden = !data.aside
  if (!data.aside) range.value = 100
  range.setAttribute("aria-label", "How much of the photo the map covers")
  range.oninput = aside
  aside()

  // Cells: the pointer and the arrow keys show one, a click or Enter picks it.
  const rows = data.ys.length - 1, columns = data.xs.length - 1
  const index = (edges, at) => {
    let i = 0
    while (i < edges.length - 2 && at >= edges[i + 1]) i++
    return i
  }
  const frame = (box, r, c) => {
    box.style.display = "block"
    box.style.top = data.ys[r] * 100 + "%"
    box.style.left = data.xs[c] * 100 + "%"
    box.style.height = (data.ys[r + 1] - data.ys[r]) * 100 + "%"
    box.style.width = (data.xs[c + 1] - data.xs[c]) * 100 + "%"
  }
  const words = (r, c) => {
    const i = r * columns + c, value = data.values[i], number = (Math.abs(value) / 1000).toFixed(data.digits)
    if (data.classes) return data.name + ": " + number + ". Strongest class here: " + data.names[data.classes[i]] +
      ". Row " + r + ", column " + c
    if (data.names.length === 1) return number + "  " + data.names[0]
    return value ? number + "  " + data.names[value > 0 ? 0 : 1] : "no difference"
  }
  const show = (r, c) => {
    figure._at = [r, c]
    frame(cell, r, c)
    tip.textContent = words(r, c)
    tip.style.display = "block"
    const low = data.ys[r] > 0.8
    tip.style.top = low ? "auto" : "calc(" + data.ys[r + 1] * 100 + "% + 4px)"
    tip.style.bottom = low ? "calc(" + (1 - data.ys[r]) * 100 + "% + 4px)" : "auto"
    const right = data.xs[c] > 0.5
    tip.style.left = right ? "auto" : data.xs[c] * 100 + "%"
    tip.style.right = right ? (1 - data.xs[c + 1]) * 100 + "%" : "auto"
  }
  const clear = () => { cell.style.display = tip.style.display = "none" }
  const tell = place => {
    if (data.group) document.dispatchEvent(new CustomEvent(POINT, { detail: { group: data.group, figure, place } }))
  }
  const point = (r, c) => {
    show(r, c)
    tell([(data.ys[r] + data.ys[r + 1]) / 2, (data.xs[c] + data.xs[c + 1]) / 2])
  }
  const hide = () => { clear(); tell(null) }
  const locate = event => {
    const box = figure.getBoundingClientRect()
    return [index(data.ys, (event.clientY - box.top) / box.height),
            index(data.xs, (event.clientX - box.left) / box.width)]
  }
  const pick = (r, c) => {
    if (!data.pickable) return point(r, c)  // a finger only touches
    frame(picked, r, c)
    setStateValue("cell", [r, c])
  }
  // When the page scrolls under a resting pointer, browsers report a move by zero: it must not undo an arrow key.
  const move = event => { if (event.movementX || event.movementY || !figure._at) point(...locate(event)) }
  const walk = event => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key]
    const [r, c] = figure._at || data.picked || [Math.floor(rows / 2), Math.floor(columns / 2)]
    if (step) {
      event.preventDefault()
      point(Math.min(Math.max(r + step[0], 0), rows - 1), Math.min(Math.max(c + step[1], 0), columns - 1))
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault()
      pick(r, c)
    }
  }
  figure.onpointermove = pointing ? move : null
  figure.onpointerleave = figure.onblur = pointing ? hide : null
  figure.onclick = pointing ? event => pick(...locate(event)) : null
  figure.onkeydown = pointing ? walk : null
  if (!pointing || (figure._at && (figure._at[0] >= rows || figure._at[1] >= columns))) { figure._at = null; clear() }
  if (pointing && data.picked && data.picked[0] < rows && data.picked[1] < columns) frame(picked, ...data.picked)
  else picked.style.display = "none"

  document.removeEventListener(POINT, figure._follow)
  figure._follow = ({ detail: { group, figure: other, place } }) => {
    if (!figure.isConnected) document.removeEventListener(POINT, figure._follow)
    else if (group === data.group && other !== figure && place) show(index(data.ys, place[0]), index(data.xs, place[1]))
    else if (group === data.group && other !== figure) clear()
  }
  if (pointing && data.group) document.addEventListener(POINT, figure._follow)
}
