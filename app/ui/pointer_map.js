export default function (component) {
  const { data: [data], parentElement, setStateValue } = component
  const figure = parentElement.querySelector("figure")
  const img = parentElement.querySelector("img")
  const cell = parentElement.querySelector(".cell")
  const picked = parentElement.querySelector(".picked")
  const tip = parentElement.querySelector(".tip")
  figure.style.aspectRatio = data.width + " / " + data.height
  if (img.src !== data.src) img.src = data.src
  img.alt = data.alt
  figure.setAttribute("aria-label", data.alt + ". Arrow keys walk over the cells, Enter picks one.")
  const rows = data.ys.length - 1, columns = data.xs.length - 1
  const find = (edges, at) => {
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
  const show = (r, c) => {
    figure._at = [r, c]
    frame(cell, r, c)
    const i = r * columns + c
    tip.textContent = (data.values[i] / 1000).toFixed(data.digits) + "  " + data.names[data.classes[i]] +
      "  (row " + r + ", column " + c + ")"
    tip.style.display = "block"
    const low = data.ys[r] > 0.8
    tip.style.top = low ? "auto" : "calc(" + data.ys[r + 1] * 100 + "% + 4px)"
    tip.style.bottom = low ? "calc(" + (1 - data.ys[r]) * 100 + "% + 4px)" : "auto"
    const right = data.xs[c] > 0.5
    tip.style.left = right ? "auto" : data.xs[c] * 100 + "%"
    tip.style.right = right ? (1 - data.xs[c + 1]) * 100 + "%" : "auto"
  }
  const hide = () => { cell.style.display = tip.style.display = "none" }
  const locate = event => {
    const box = figure.getBoundingClientRect()
    return [find(data.ys, (event.clientY - box.top) / box.height),
            find(data.xs, (event.clientX - box.left) / box.width)]
  }
  const pick = (r, c) => { frame(picked, r, c); setStateValue("cell", [r, c]) }
  // When the page scrolls under a resting pointer, browsers report a move by zero: it must not undo an arrow key.
  figure.onpointermove = event => { if (event.movementX || event.movementY || !figure._at) show(...locate(event)) }
  figure.onpointerleave = hide
  figure.onblur = hide
  figure.onclick = event => pick(...locate(event))
  figure.onkeydown = event => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key]
    const [r, c] = figure._at || data.picked || [Math.floor(rows / 2), Math.floor(columns / 2)]
    if (step) {
      event.preventDefault()
      show(Math.min(Math.max(r + step[0], 0), rows - 1), Math.min(Math.max(c + step[1], 0), columns - 1))
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault()
      pick(r, c)
    }
  }
  if (figure._at && (figure._at[0] >= rows || figure._at[1] >= columns)) { figure._at = null; hide() }
  if (data.picked && data.picked[0] < rows && data.picked[1] < columns) frame(picked, ...data.picked)
  else picked.style.display = "none"
}
