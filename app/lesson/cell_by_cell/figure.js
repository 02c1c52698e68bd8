const SVG = "http://www.w3.org/2000/svg"
const DARKEST = 0.68  // opacity of the shade over what does not move the cell
const REST = 160  // milliseconds without a step before the cell is spoken

const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0))

export default function (component) {
  const { data: [data], parentElement } = component
  const root = parentElement.querySelector(".root"), find = selector => root.querySelector(selector)
  const photo = find(".photo"), image = find(".photo img"), veil = find(".veil"), box = find(".switch input")
  const links = find(".links"), rows = find(".rows"), list = find(".list"), flow = find(".flow")
  const [height, width] = data.grid, words = data.words
  const same = root._state?.id === data.id && root._state.cell < data.cells.length
  const state = same ? root._state : { id: data.id, cell: data.peak[0] * width + data.peak[1], chosen: null }
  root._state = state
  root.classList.toggle("large", data.large)

  // Words and numbers
  const say = (name, values = {}) => words[name].replace(/\{(\w+)\}/g, (_, key) => values[key])
  const number = (value, digits = 3) => {
    const text = Math.abs(value).toFixed(digits)
    return (value < 0 && Number(text) ? "\u2212" : "") + (data.comma ? text.replace(".", ",") : text)
  }
  const thousandths = value => number(value / 1000)
  const element = (tag, name = "", text = "", parent = null) => {
    const made = document.createElement(tag)
    if (name) made.className = name
    made.textContent = text
    parent?.append(made)
    return made
  }
  for (const each of root.querySelectorAll("[data-word]")) each.textContent = words[each.dataset.word]
  find(".switch span").textContent = words.field_help
  find(".bias dt").textContent = "+ " + words.bias

  // Maps: a pixel for each cell, enlarged by the browser
  const palette = bytes(data.palette)
  const paint = (canvas, values) => {
    canvas.width = width
    canvas.height = height
    const context = canvas.getContext("2d"), pixels = context.createImageData(width, height)
    values.forEach((value, i) => {
      for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = palette[3 * value + c]
      pixels.data[4 * i + 3] = 255
    })
    context.putImageData(pixels, 0, 0)
  }
  const place = (mark, left, top, right, bottom) => Object.assign(mark.style, {
    left: 100 * left + "%", top: 100 * top + "%", width: 100 * (right - left) + "%", height: 100 * (bottom - top) + "%" })
  const at = i => [Math.floor(i / width), i % width]
  const patch = i => {
    const [r, c] = at(i)
    return [data.xs[c], data.ys[r], data.xs[c + 1], data.ys[r + 1]]
  }
  const markOn = (cells, i) => {
    const [r, c] = at(i)
    place(cells.querySelector(".mark"), c / width, r / height, (c + 1) / width, (r + 1) / height)
  }
  paint(find(".heat canvas"), data.heat.map(value => Math.round(value * 0.255)))
  find(".heat .title").textContent = find(".heat .title").title = say("probability_of", data)
  find(".heat .span span").textContent = say("range", { high: 1 })

  // The picture with its grid
  photo.style.aspectRatio = data.width + " / " + data.height
  photo.setAttribute("aria-label", say("application", { rows: height, columns: width }))
  const grid = find(".lines")
  grid.setAttribute("viewBox", "0 0 1 1")
  grid.firstElementChild.setAttribute("d", data.xs.slice(1, -1).map(x => `M${x} 0V1`).join("") +
    data.ys.slice(1, -1).map(y => `M0 ${y}H1`).join(""))
  if (image.getAttribute("src") !== data.photo) image.src = data.photo
  image.decode().then(() => show(), () => {})

  const bright = data.field && bytes(data.field.bright)
  const shade = () => {
    veil.hidden = !bright || !box.checked
    if (veil.hidden) return
    veil.width = data.width
    veil.height = data.height
    const context = veil.getContext("2d"), count = data.cells.length
    for (let i = 0; i < count; i++) {
      const [left, top, right, bottom] = patch(i).map((share, k) => Math.round(share * (k % 2 ? data.height : data.width)))
      context.fillStyle = `rgba(8, 10, 12, ${DARKEST * (1 - bright[state.cell * count + i] / 255)})`
      context.fillRect(left, top, right - left, bottom - top)
    }
  }
  const tell = () => {
    const own = data.field?.own[state.cell], half = data.field?.half[state.cell]
    find(".field").textContent = !data.field ? "" :
      say(half === 1 ? "field_one" : "field_many", { half, own: percent(own / 10) })
  }
  const percent = value => number(value, value > 0 && value < 10 ? 1 : 0) + (data.comma ? "\u00a0%" : "%")
  box.disabled = !data.field

  // The channels that weigh most: a row each, with the place that excites it most
  while (rows.children.length < data.cells[0].terms[0].length) {
    const row = element("li", "", "", rows), cells = element("div", "cells", "", row)
    element("canvas", "", "", cells)
    element("div", "mark", "", cells)
    const thumb = element("canvas", "thumb", "", row)
    thumb.width = thumb.height = 96
    const text = element("div", "text", "", row)
    element("span", "name", "", text)
    element("span", "high", "", text)
    element("span", "factors", "", text)
    element("span", "product", "", text)
    element("i", "", "", element("div", "bar", "", text))
  }
  const maps = new Map()
  const mapOf = channel => maps.get(channel) || maps.set(channel, bytes(data.channels[channel])).get(channel)
  const showRow = (row, [channel, feature, weight, product], largest) => {
    const values = mapOf(channel), strongest = values.indexOf(Math.max(...values))
    paint(row.querySelector("canvas"), values)
    markOn(row.querySelector(".cells"), state.cell)
    row.querySelector(".cells").title = say("map_of", { channel })
    row.querySelector(".name").textContent = say("channel", { channel })
    row.querySelector(".high").textContent = say("range", { high: number(data.peaks[channel] / 1000, 1) })
    row.querySelector(".factors").textContent = thousandths(feature) + " × " + number(weight / 1e4, 4)
    row.querySelector(".product").textContent = thousandths(product)
    const bar = row.querySelector(".bar i")
    bar.style.width = 100 * Math.abs(product) / largest + "%"
    bar.classList.toggle("less", product < 0)
    const thumb = row.querySelector(".thumb"), [left, top, right, bottom] = patch(strongest)
    thumb.title = say("strongest", { value: thousandths(data.peaks[channel]) })
    if (!image.complete || !image.naturalWidth) return
    const side = 1.5 * Math.max((right - left) * image.naturalWidth, (bottom - top) * image.naturalHeight)
    const inside = (middle, most) => Math.max(0, Math.min(middle * most - side / 2, most - side))
    thumb.getContext("2d").drawImage(image, inside((left + right) / 2, image.naturalWidth),
      inside((top + bottom) / 2, image.naturalHeight), side, side, 0, 0, thumb.width, thumb.height)
  }

  // Lines from the patch to its cell in every map, and from every product to the logit
  const draw = (tag, attributes) => {
    const made = document.createElementNS(SVG, tag)
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
    links.append(made)
    return made
  }
  const line = (name, d, stroke) => {
    const path = draw("path", { class: name, d })
    if (stroke) path.style.strokeWidth = stroke
  }
  const connect = () => {
    // All places are read before anything is drawn: the browser then computes the layout once.
    const origin = flow.getBoundingClientRect()
    const zoom = origin.width / flow.offsetWidth || 1  // a slide is enlarged, and the lines with it
    const rect = each => {
      const found = each.getBoundingClientRect()
      const left = (found.left - origin.left) / zoom, right = (found.right - origin.left) / zoom
      const top = (found.top - origin.top) / zoom, bottom = (found.bottom - origin.top) / zoom
      return { left, top, right, bottom, x: (left + right) / 2, y: (top + bottom) / 2 }
    }
    const from = rect(find(".photo .mark")), to = [...rows.querySelectorAll(".mark")].map(rect)
    const logit = rect(find(".logits .mark")), heat = rect(find(".heat .mark")), unit = flow.offsetWidth / 900
    const products = [...rows.querySelectorAll(".text"), find(".more")].map(rect)
    const sign = { x: rect(find(".logits .cells")).left - 17 * unit, y: logit.y, radius: 9.5 * unit }
    const stacked = rect(find(".features")).left < rect(find(".seen")).right
    links.replaceChildren()
    if (stacked) {
      line("beam", `M${from.left} ${from.bottom}L${to[0].left} ${to[0].top}H${to[0].right}L${from.right} ${from.bottom}Z`)
      line("on", `M${to[0].x} ${to[0].bottom}V${to.at(-1).top}`)
      line("on", `M${logit.right} ${logit.y}H${heat.left}`)
      return
    }
    for (const cell of to) line("beam", `M${from.right} ${from.top}L${cell.left} ${cell.top}V${cell.bottom}L${from.right} ${from.bottom}Z`)
    const here = data.cells[state.cell], terms = here.terms[index()], largest = Math.abs(terms[0][3]) || 1
    for (const [n, value] of [...terms.map(term => term[3]), here.rests[index()]].entries()) {
      const x = products[n].right + 4 * unit, y = products[n].y
      line(value < 0 ? "term less" : "term", `M${x} ${y}C${sign.x} ${y} ${sign.x} ${y + (sign.y - y) * 0.4} ${sign.x} ${sign.y}`,
        Math.max(0.8, 3 * unit * Math.min(Math.abs(value) / largest, 1)))
    }
    line("on", `M${sign.x + sign.radius} ${sign.y}H${logit.left}`)
    draw("circle", { class: "sign", cx: sign.x, cy: sign.y, r: sign.radius })
    draw("text", { class: "sigma", x: sign.x, y: sign.y, "font-size": (data.large ? 14.5 : 12.5) * unit }).textContent = "Σ"
    line("on", `M${logit.x} ${logit.bottom}V${heat.top - 6 * unit}`)
    line("tip", `M${heat.x - 4 * unit} ${heat.top - 9 * unit}h${8 * unit}l${-4 * unit} ${8 * unit}z`)
  }

  // The classes of the cell; one of them is shown as a sum
  const index = () => Math.max(0, data.cells[state.cell].classes.indexOf(state.chosen))
  const showClasses = here => {
    const focused = root.getRootNode().activeElement?.closest?.(".list button") ? [...list.querySelectorAll("button")]
      .indexOf(root.getRootNode().activeElement) : -1
    list.replaceChildren()
    list.setAttribute("aria-label", words.classes)
    const head = element("div", "head", "", list)
    for (const word of ["", "", words.logit, words.probability]) element("span", "", word, head)
    here.classes.forEach((known, n) => {
      if (n === 5) element("p", "best", say("best_inside", data), list)
      const button = element("button", data.inside[known] ? "inside" : "", "", list)
      button.type = "button"
      button.setAttribute("aria-pressed", String(n === index()))
      element("span", "label", data.names[known], button).title = data.names[known]
      element("i", "", "", element("span", "track", "", button)).style.width = here.shares[n] / 10 + "%"
      element("span", "figure", thousandths(here.logits[n]), button)
      element("span", "figure", thousandths(here.shares[n]), button)
      button.onclick = () => { state.chosen = known; show(true) }
    })
    if (focused >= 0) list.querySelectorAll("button")[focused]?.focus()
  }
  const showSum = here => {
    const sum = find(".sum dl"), others = data.count - here.parts.length
    find(".sum h3").textContent = say("sum", data)
    find(".sum .note").textContent = data.count === 1 ? words.sum_one : say("sum_note", data)
    sum.replaceChildren()
    const add = (name, label, value) => {
      const row = element("div", name, "", sum)
      element("dt", "", label, row).title = label
      element("dd", "", thousandths(value), row)
    }
    here.parts.forEach(([label, part], n) => add("", (n ? "+ " : "") + label, part))
    if (others > 0) add("other", "+ " + say("more_classes", { count: others }), here.rest)
    add("total", "= " + data.synset, here.total)
    const track = find(".sum .track") ?? element("div", "track", "", find(".sum"))
    track.replaceChildren()
    for (const value of [...here.parts.map(part => part[1]), here.rest]) element("i", "", "", track).style.width = value / 10 + "%"
  }

  // The formulas, filled
  const fill = (line, parts) => line.replaceChildren(...parts)
  const mark = (tag, text, name = "") => element(tag, name, text)
  const power = value => {
    const made = mark("span", "", "nb")
    made.append(mark("i", "e"), mark("sup", thousandths(value)))
    return made
  }
  const signed = (value, text, first = false) => (first ? (value < 0 ? "\u2212" : "") : value < 0 ? " \u2212 " : " + ") + text
  const showFormulas = (here, n) => {
    const [logit, share, sum] = find(".formulas").querySelectorAll("p"), name = data.names[here.classes[n]]
    const terms = here.terms[n], bias = data.biases[here.classes[n]], others = data.features - terms.length
    const parts = [mark("i", "z"), mark("sub", name), " = Σ", mark("sub", "c"), " ", mark("i", "f"), mark("sub", "c"), " ", mark("i", "W"),
      mark("sub", "ck"), " + ", mark("i", "b"), mark("sub", "k"), " = "]
    terms.forEach(([, feature, weight, product], k) => parts.push(signed(product, "", !k),
      mark("span", thousandths(feature) + " · " + number(Math.abs(weight) / 1e4, 4), "nb")))
    parts.push(signed(here.rests[n], thousandths(Math.abs(here.rests[n]))), " ", mark("small", say("more_terms", { count: others })),
      signed(bias, thousandths(Math.abs(bias))), " = ", mark("b", thousandths(here.logits[n])))
    fill(logit, parts)
    const first = here.classes.slice(0, 2).map((_, k) => here.logits[k])
    fill(share, [mark("i", "p"), mark("sub", name), " = ", power(here.logits[n]), " / (", power(first[0]), " + ", power(first[1]), " + ",
      mark("small", say("more_in_sum", { count: data.outputs - 2 })), ") = ", mark("b", thousandths(here.shares[n]))])
    sum.hidden = data.count === 1
    const below = [mark("i", "p"), mark("sub", data.synset), " = "]
    here.parts.forEach(([, part], k) => below.push((k ? " + " : "") + thousandths(part)))
    const rest = data.count - here.parts.length
    if (rest > 0) below.push(" + " + thousandths(here.rest) + " ", mark("small", say("more_terms", { count: rest })))
    fill(sum, [...below, " = ", mark("b", thousandths(here.total))])
  }

  const speak = text => {
    clearTimeout(root._speaking)
    root._speaking = setTimeout(() => { find(".live").textContent = text }, REST)
  }
  const show = (aloud = false) => {
    const here = data.cells[state.cell], n = index(), [r, c] = at(state.cell), known = here.classes[n]
    const name = data.names[known]
    place(find(".photo .mark"), ...patch(state.cell))
    shade()
    tell()
    find(".where").textContent = say("cell", { row: r + 1, column: c + 1 })
    find(".features .note").textContent = say("features_note", { shown: rows.children.length, all: data.features })
    const largest = Math.abs(here.terms[n][0][3]) || 1
    here.terms[n].forEach((term, k) => showRow(rows.children[k], term, largest))
    find(".more dt").textContent = "+ " + say("more", { count: data.features - rows.children.length,
      active: here.active - here.terms[n].filter(term => term[1]).length })
    find(".more dd").textContent = thousandths(here.rests[n])
    find(".bias dd").textContent = thousandths(data.biases[known])
    find(".result dt").textContent = find(".result dt").title = "= " + words.logit + " · " + name
    find(".result dd").textContent = thousandths(here.logits[n])
    paint(find(".logits canvas"), bytes(data.maps[known]))
    find(".logits .title").textContent = find(".logits .title").title = say("logit_of", { name })
    const [low, high] = data.spans[known]
    find(".logits .span span").textContent = number(low / 1000, 1) + " … " + number(high / 1000, 1)
    find(".logits .span b").textContent = thousandths(here.logits[n])
    find(".heat .span b").textContent = thousandths(data.heat[state.cell])
    for (const cells of root.querySelectorAll(".outcome .cells")) markOn(cells, state.cell)
    showClasses(here)
    showSum(here)
    showFormulas(here, n)
    connect()
    if (aloud) speak(say("spoken", { row: r + 1, column: c + 1, name, logit: thousandths(here.logits[n]),
      share: thousandths(here.shares[n]), synset: data.synset, total: thousandths(here.total) }))
  }
  const go = (r, c, aloud = true) => {
    const next = Math.max(0, Math.min(r, height - 1)) * width + Math.max(0, Math.min(c, width - 1))
    if (next === state.cell) return
    state.cell = next
    show(aloud)
  }

  // Pointer and keyboard
  const which = (edges, share) => {
    let i = 0
    while (i < edges.length - 2 && share >= edges[i + 1]) i++
    return i
  }
  const located = (event, target, ys, xs) => {
    const frame = target.getBoundingClientRect()
    return [which(ys, (event.clientY - frame.top) / frame.height), which(xs, (event.clientX - frame.left) / frame.width)]
  }
  const even = count => Array.from({ length: count + 1 }, (_, i) => i / count)
  const pointed = find(".pointed")
  photo.onpointermove = event => {
    const [r, c] = located(event, photo, data.ys, data.xs)
    if (event.buttons & 1) go(r, c)
    else if (event.pointerType === "mouse") {
      place(pointed, ...patch(r * width + c))
      pointed.style.display = "block"
    }
  }
  photo.onpointerleave = () => { pointed.style.display = "none" }
  photo.onpointerdown = event => { if (event.pointerType === "mouse") go(...located(event, photo, data.ys, data.xs)) }
  photo.onclick = event => go(...located(event, photo, data.ys, data.xs))
  photo.ondragstart = event => event.preventDefault()
  photo.onkeydown = event => {
    const [r, c] = at(state.cell)
    const to = { ArrowUp: [r - 1, c], ArrowDown: [r + 1, c], ArrowLeft: [r, c - 1], ArrowRight: [r, c + 1],
      Home: [r, 0], End: [r, width - 1] }[event.key]
    if (!to || event.ctrlKey || event.altKey || event.metaKey) return
    event.preventDefault()
    event.stopPropagation()
    pointed.style.display = "none"
    go(...to)
  }
  flow.onclick = event => {
    const cells = event.target.closest(".cells")
    if (cells) go(...located(event, cells, even(height), even(width)))
  }
  box.onchange = shade
  root._watch?.disconnect()
  root._watch = new ResizeObserver(connect)
  root._watch.observe(flow)
  show()
}
