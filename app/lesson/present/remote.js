// The presenter's remote: keys, buttons, the progress mark, and the size of the screen.
// A position is a slide before or after its answer is revealed; keys choose positions, and the page draws them.
const WIDTH = 1280, HEIGHT = 720, LEAST = 0.6  // of the drawing board, and how much it shrinks on a telephone
const PATIENCE = 2500  // milliseconds until the old slide gives way, whether the new one is complete or not

const app = () => document.querySelector("[data-testid=stApp]")

// What uses a key itself keeps it.
const ARROWS = "input[type=range], [role=slider], [role=radio], [role=radiogroup], [role=tab], [role=listbox], select, " +
  "[role=combobox], [role=application], input[type=number], input[type=text], input[type=search], textarea, " +
  "[contenteditable=true]"
const TYPING = "input[type=number], input[type=text], input[type=search], textarea, [contenteditable=true], [role=combobox]"
const PRESSED = "button, a[href], summary, input, select, textarea, [role=switch], [role=checkbox], [role=radio], " +
  "[role=button], [role=option], [contenteditable=true]"
const isTaken = (key, at) => {
  if (!at?.closest) return false
  if (["ArrowLeft", "ArrowRight", "Home", "End"].includes(key)) return !!at.closest(ARROWS)
  if (key === " ") return !!at.closest(PRESSED)
  if (key === "Escape") return !!at.closest("[aria-expanded=true], [role=dialog], [role=listbox]")
  if (key.length === 1) return !!at.closest(TYPING)
  return false
}
const MOVES = { ArrowRight: 1, PageDown: 1, ArrowLeft: -1, PageUp: -1 }

export default function (component) {
  const { data: [data], parentElement, setStateValue } = component
  const find = (selector) => parentElement.querySelector(selector)
  const root = find(".foot")
  const state = root._state ||= { data, wanted: data.at, asked: 0 }
  state.data = data
  // A wish, with the time at which it was made: the page takes a new one once, and none is lost where several follow.
  state.send = (what, position = []) => {
    state.time = Math.max(Date.now(), (state.time || 0) + 1)
    setStateValue("wish", [what, ...position, state.time])
  }
  // While a wish is under way, older slides come; without one, the browser's history leads to any slide.
  if (!state.asked || state.wanted === data.at || performance.now() - state.asked > PATIENCE) arrive()

  async function arrive() {
    state.wanted = state.data.at
    state.asked = 0
    const pictures = [...document.querySelectorAll(".st-key-slide img")]
    await Promise.all(pictures.map((each) => each.decode().catch(() => {})))
    fit()
    state.done?.()
    state.done = null
  }

  // The drawing board has 1280 × 720 pixels or more, and is enlarged to fill the screen.
  function fit() {
    const deck = document.querySelector(".st-key-slide-deck")
    if (!deck) return
    const zoom = Math.max(Math.min(innerWidth / WIDTH, innerHeight / HEIGHT), LEAST)
    deck.style.transform = `scale(${zoom})`
    deck.style.setProperty("--zoom", zoom)
    deck.style.width = innerWidth / zoom + "px"
    deck.style.height = innerHeight / zoom + "px"
    deck.classList.toggle("narrow", innerWidth / zoom < WIDTH - 1)
    // Pictures are as large as the room allows that text and widgets leave.
    const box = deck.querySelector(".st-key-slide-room")
    if (!box || deck.classList.contains("narrow")) return
    let room = box.clientHeight
    for (let k = 0; k < 12; k++) {  // pictures that the width limits become smaller only after some rounds
      box.style.setProperty("--room", room + "px")
      const over = box.scrollHeight - box.clientHeight
      if (over <= 0) break
      room = Math.max(room - over, 80)
    }
  }

  function go(index) {
    const { positions } = state.data
    const to = Math.min(Math.max(index, 0), positions.length - 1)
    if (to === state.wanted) return
    state.wanted = to
    state.asked = performance.now()
    const tell = () => state.send("go", positions[state.wanted])
    // The old slide stays until the new one is complete: nothing flashes, and no picture stands below another's heading.
    if (!document.startViewTransition || state.turning === "told") return tell()
    if (state.turning) return  // it will tell the last of several wishes
    state.turning = "begun"
    const turned = document.startViewTransition(() => new Promise((done) => {
      state.turning = "told"
      state.done = done
      setTimeout(done, PATIENCE)
      tell()
    }))
    turned.finished.catch(() => {}).finally(() => { state.turning = "" })
    for (const each of [turned.ready, turned.updateCallbackDone]) each.catch(() => {})
  }

  const help = find(".help")
  const act = {
    next: () => go(Math.floor(state.wanted) + 1),
    previous: () => go(Math.ceil(state.wanted) - 1),
    first: () => go(0),
    last: () => go(state.data.positions.length - 1),
    notes: () => state.send("notes"),
    leave: () => state.send("leave"),
    help: () => {
      help.hidden = !help.hidden
      find("[data-act=help]").setAttribute("aria-expanded", String(!help.hidden))
    },
    full: () => document.fullscreenElement ? document.exitFullscreen()
      : document.documentElement.requestFullscreen?.().catch(() => {}),
  }

  function press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return
    const { key, shiftKey } = event
    if (isTaken(key, event.composedPath()[0])) return
    const move = key === " " ? (shiftKey ? -1 : 1) : MOVES[key]
    const what = move ? (move > 0 ? "next" : "previous")
      : { Home: "first", End: "last", n: "notes", f: "full", "?": "help", Escape: "leave" }[key]
    if (!what) return
    event.preventDefault()
    event.stopPropagation()
    if (what === "leave" && !help.hidden) act.help()
    else act[what]()
  }

  const words = data.words
  for (const button of parentElement.querySelectorAll("button")) {
    const what = button.dataset.act
    button.setAttribute("aria-label", words[what])
    button.title = words[what]
    button.onclick = () => act[what]()
    button.onpointerdown = (event) => event.preventDefault()  // the focus stays where it is
  }
  find("[data-act=previous]").disabled = data.at <= 0
  find("[data-act=next]").disabled = data.at >= data.positions.length - 1
  find("[data-act=notes]").setAttribute("aria-pressed", String(data.notes))
  find("[data-act=full]").hidden = !document.fullscreenEnabled
  find(".count").textContent = data.count
  const bar = find(".bar")
  bar.setAttribute("aria-label", words.progress)
  bar.setAttribute("aria-valuenow", data.place)
  bar.setAttribute("aria-valuemax", data.places)
  bar.setAttribute("aria-valuetext", data.count)
  find(".bar i").style.width = 100 * data.place / data.places + "%"
  help.setAttribute("aria-label", words.keys)
  find(".help h2").textContent = words.keys
  find(".help dl").replaceChildren(...data.help.flatMap(([keys, text]) => {
    const [dt, dd] = [document.createElement("dt"), document.createElement("dd")]
    dt.textContent = keys
    dd.textContent = text
    return [dt, dd]
  }))

  fit()
  if (root._listens) return
  root._listens = true
  let asked = 0
  const soon = () => { asked ||= setTimeout(() => { asked = 0; fit() }, 30) }
  const loaded = (event) => { if (event.target.localName === "img") soon() }
  const watch = new MutationObserver(() => root.isConnected ? soon() : end())
  const keys = (event) => root.isConnected ? press(event) : end()
  function end() {  // when the remote is gone: the page calls no function then
    watch.disconnect()
    document.removeEventListener("keydown", keys, true)
    document.removeEventListener("load", loaded, true)
    removeEventListener("resize", soon)
  }
  watch.observe(app(), { childList: true, subtree: true })
  document.addEventListener("keydown", keys, true)
  document.addEventListener("load", loaded, true)
  addEventListener("resize", soon)
}
