"""Draws panels as Grafana lays them out, from the numbers that a Prometheus has for them: as SVG, a picture a row.

Knows the kinds of panels, units and options that conf/grafana/tollgate.json uses, and refuses others. It is not Grafana:
what it shows is which panels there are, where, and what their queries come to.
"""

import html
import math
import re
import textwrap

# Pixels: of the whole, of one of Grafana's 24 columns and of one of its rows, and between panels.
WIDTH, COLUMN, ROW, GAP = 1200, 50, 32, 8
HEAD = 34
# Series that a legend has room for; Grafana has the others one scroll away.
LEGEND_MAX = 5
SERIES = ["#56a64b", "#3274d9", "#ff780a", "#e02f44", "#a352cc", "#e0b400", "#1f78a8", "#8f6b3f", "#37872d", "#c4162a"]
NAMED = {"green": "#37872d", "orange": "#fa6400", "red": "#c4162a"}
INK, FAINT, LINE = "#24292e", "#6e7079", "#e4e5e9"
TICKS = 4


class Canvas:
    """Lines of an SVG."""

    def __init__(self, width, height):
        self.width, self.height = width, height
        self._lines = []

    def rect(self, x, y, width, height, fill, stroke="none", radius=0):
        self._lines.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius}" fill="{fill}" stroke="{stroke}"/>'
        )

    def text(self, x, y, text, size=11, fill=FAINT, anchor="start", weight=400):
        self._lines.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" text-anchor="{anchor}" font-weight="{weight}">'
            f"{html.escape(str(text))}</text>"
        )

    def line(self, x, y, to_x, to_y, stroke=LINE):
        self._lines.append(f'<path d="M{x:.1f} {y:.1f}L{to_x:.1f} {to_y:.1f}" stroke="{stroke}"/>')

    def path(self, points, stroke):
        if len(points) == 1:
            (x, y) = points[0]
            self.rect(x - 1.5, y - 1.5, 3, 3, stroke)
            return
        self._lines.append(f'<path d="{way(points)}" fill="none" stroke="{stroke}" stroke-width="1.5"/>')

    def area(self, points, fill, opacity):
        self._lines.append(f'<path d="{way(points)}Z" fill="{fill}" fill-opacity="{opacity}"/>')

    def svg(self):
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
        head += 'font-family="Inter, Helvetica, Arial, sans-serif" stroke-width="1">'
        return "\n".join([head, *self._lines, "</svg>", ""])


def way(points):
    """A path through points, in steps of tenths of pixels; where it is straight, without what lies between."""
    tenths = [(round(x * 10), round(y * 10)) for x, y in points]
    kept = tenths[:1]
    for before, here, after in zip(tenths, tenths[1:], tenths[2:]):
        if not before[1] == here[1] == after[1]:
            kept.append(here)
    kept += tenths[1:][-1:]
    words = [f"M{kept[0][0] / 10:g} {kept[0][1] / 10:g}"]
    for (x, y), (to_x, to_y) in zip(kept, kept[1:]):
        words.append(f"l{(to_x - x) / 10:g} {(to_y - y) / 10:g}".replace(" -", "-"))
    return "".join(words)


def figures(number, most=3):
    """With `most` significant figures, as a person would write it."""
    if number == 0 or not math.isfinite(number):
        return f"{number:.0f}"
    digits = max(0, most - 1 - math.floor(math.log10(abs(number))))
    text = f"{number:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def scaled(number, steps, base=""):
    for size, unit in steps:
        if abs(number) >= size:
            return f"{figures(number / size)} {unit}".rstrip()
    return f"{figures(number)} {base}".rstrip()


def seconds(number):
    if number != 0 and abs(number) < 1:
        return f"{figures(number * 1e6)} µs" if abs(number) < 1e-3 else f"{figures(number * 1e3)} ms"
    for size, unit in [(86_400, "d"), (3_600, "h"), (60, "min")]:
        if abs(number) >= 2 * size:
            return f"{figures(number / size)} {unit}"
    return f"{figures(number)} s"


THOUSANDS = [(1e9, "G"), (1e6, "M"), (1e3, "K")]
UNITS = {
    "reqps": lambda number: scaled(number, [(1e3, "K req/s")], "req/s"),
    "cps": lambda number: scaled(number, [(1e3, "K c/s")], "c/s"),
    "percentunit": lambda number: f"{figures(number * 100)} %",
    "s": seconds,
    "short": lambda number: scaled(number, THOUSANDS),
    "currencyUSD": lambda number: f"${figures(number)}",
    "bytes": lambda number: scaled(number, [(2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")], "B"),
    "bool_yes_no": lambda number: "Yes" if number else "No",
}


def round_up(number):
    """The next of 1, 2, 4, 5, 10 … times a power of ten, so that four parts of it are easy to read."""
    if number <= 0:
        return 1
    power = 10 ** math.floor(math.log10(number))
    return next(step * power for step in (1, 2, 4, 8, 10) if number <= step * power * 1.0001)


def legend(pattern, labels):
    name = re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found[1], ""), pattern or "").strip()
    return name or ", ".join(f"{key}={value}" for key, value in sorted(labels.items()) if key != "__name__") or "value"


def color_of(panel, number):
    steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
    passed = [step["color"] for step in steps if step["value"] is None or number >= step["value"]]
    return NAMED[passed[-1]] if passed else INK


class Panel:
    """One panel: its place on the canvas, and what Prometheus has for it."""

    def __init__(self, panel, top, store):
        place = panel["gridPos"]
        self.panel, self.store = panel, store
        self.x = place["x"] * COLUMN + GAP / 2
        self.y = HEAD + (place["y"] - top) * ROW
        self.width, self.height = place["w"] * COLUMN - GAP, place["h"] * ROW - GAP
        self.unit = UNITS[panel["fieldConfig"]["defaults"]["unit"]] if panel["type"] != "text" else None

    def draw(self, canvas):
        """Draws it. Returns what it has no data for."""
        canvas.rect(self.x, self.y, self.width, self.height, "#ffffff", "#d9dadf", 3)
        canvas.text(self.x + 10, self.y + 19, self.panel["title"], 12.5, INK, weight=600)
        draw = {
            "stat": self._stat,
            "timeseries": self._timeseries,
            "state-timeline": self._states,
            "table": self._table,
            "text": self._text,
        }[self.panel["type"]]
        return draw(canvas)

    def _text(self, canvas):
        words = self.panel["options"]["content"].replace("`", "")
        for number, line in enumerate(textwrap.wrap(words, int(self.width / 6.3))):
            canvas.text(self.x + 12, self.y + 44 + number * 17, line, 12, INK)
        return []

    def _now(self):
        """Each target's series as they are at the end: their name, labels and number."""
        found, missing = [], []
        for target in self.panel["targets"]:
            samples = self.store.now(target["expr"])
            if not samples:
                missing.append(target["expr"])
            for labels, number in samples:
                found.append((legend(target.get("legendFormat"), labels), labels, number))
        return found, missing

    def _stat(self, canvas):
        found, missing = self._now()
        wide = self.panel["options"].get("orientation") == "horizontal"
        colored = self.panel["options"]["colorMode"] == "value"
        for number, (name, _, value) in enumerate(found):
            fill = color_of(self.panel, value) if colored else INK
            if wide:
                y = self.y + 52 + number * (self.height - 40) / len(found)
                canvas.text(self.x + 14, y, name, 12.5)
                canvas.text(self.x + self.width - 14, y, self.unit(value), 20, fill, "end", 600)
                continue
            middle = self.x + self.width * (number + 0.5) / len(found)
            size = 28 if len(found) == 1 else 22
            canvas.text(middle, self.y + self.height / 2 + 20, self.unit(value), size, fill, "middle", 600)
            if len(found) > 1:
                canvas.text(middle, self.y + self.height - 10, name, 11, FAINT, "middle")
        return missing

    def _table(self, canvas):
        found, missing = self._now()
        merged = {}
        for name, labels, number in found:
            shown = {key: value for key, value in labels.items() if key not in ("__name__", "job", "instance")}
            merged[name if not shown else " ".join(f"{key} {value}" for key, value in sorted(shown.items()))] = number
        y = self.y + 44
        for name, number in list(merged.items())[: int((self.height - 46) / 20)]:
            canvas.text(self.x + 12, y, name, 12, INK)
            canvas.text(self.x + self.width - 12, y, self.unit(number), 12, INK, "end")
            canvas.line(self.x + 10, y + 6, self.x + self.width - 10, y + 6)
            y += 20
        return missing

    def _over_time(self):
        found, missing = [], []
        for target in self.panel["targets"]:
            series = self.store.over_time(target["expr"])
            if not series:
                missing.append(target["expr"])
            found += [(legend(target.get("legendFormat"), labels), points) for labels, points in series]
        return sorted(found, key=lambda one: one[0]), missing

    def _states(self, canvas):
        found, missing = self._over_time()
        left, right = self.x + 12, self.x + self.width - 12
        tall = min(24, (self.height - 56) / max(1, len(found)))
        begin = left + min(170, 10 + 6.2 * max((len(name) for name, _ in found), default=0))
        for number, (name, points) in enumerate(found):
            y = self.y + 32 + number * tall
            canvas.text(left, y + tall * 0.65, name, min(11, tall * 0.6), INK)
            across = lambda time: begin + (right - begin) * self.store.share(time)
            # One bar for as long as it stays the same.
            for at, (time, value) in enumerate(points):
                if at and color_of(self.panel, points[at - 1][1]) == color_of(self.panel, value):
                    continue
                same = [later for later, other in points[at:] if color_of(self.panel, other) != color_of(self.panel, value)]
                end = same[0] if same else points[-1][0] + self.store.step
                canvas.rect(across(time), y, min(right, across(end)) - across(time), tall - 4, color_of(self.panel, value))
        self._times(canvas, begin, right, self.y + self.height - 10)
        return missing

    def _times(self, canvas, left, right, y):
        for number in range(TICKS):
            ago = self.store.length * (1 - number / (TICKS - 1))
            anchor = {0: "start", TICKS - 1: "end"}.get(number, "middle")
            told = f"−{ago:.0f} s" if ago >= 1 else "now"
            canvas.text(left + (right - left) * number / (TICKS - 1), y, told, 10, FAINT, anchor)

    def _timeseries(self, canvas):
        found, missing = self._over_time()
        shown = found[:LEGEND_MAX]
        stacked = "stacking" in self.panel["fieldConfig"]["defaults"]["custom"]
        curves = _stack(found) if stacked else [(name, points, None) for name, points in found]
        top = max((value for _, points, _ in curves for _, value in points), default=0)
        whole = 2**20 if self.panel["fieldConfig"]["defaults"]["unit"] == "bytes" else 1
        top = round_up(top / whole) * whole
        left, right = self.x + 66, self.x + self.width - 12
        high, low = self.y + 34, self.y + self.height - 40 - 15 * (len(shown) + (len(found) > len(shown)))
        down = lambda value: low - (low - high) * max(0, value) / top
        across = lambda time: left + (right - left) * self.store.share(time)
        for number in range(TICKS + 1):
            value = top * number / TICKS
            canvas.line(left, down(value), right, down(value))
            canvas.text(left - 6, down(value) + 3.5, self.unit(value), 10, FAINT, "end")
        self._times(canvas, left, right, low + 14)
        for number, (_, points, under) in enumerate(curves):
            color = SERIES[number % len(SERIES)]
            curve = [(across(time), down(value)) for time, value in points]
            floor = under or [(points[0][0], 0), (points[-1][0], 0)]
            floor = [(across(time), down(value)) for time, value in reversed(floor)]
            canvas.area(curve + floor, color, 0.45 if stacked else 0.1)
            canvas.path(curve, color)
        self._legend(canvas, found, shown, low + 30)
        return missing

    def _legend(self, canvas, found, shown, y):
        right = self.x + self.width - 12
        canvas.text(right - 80, y - 1, "mean", 10, FAINT, "end")
        canvas.text(right, y - 1, "max", 10, FAINT, "end")
        for number, (name, points) in enumerate(shown):
            row = y + 15 * (number + 1)
            values = [value for _, value in points]
            canvas.rect(self.x + 12, row - 6, 14, 4, SERIES[number % len(SERIES)], radius=2)
            canvas.text(self.x + 32, row, name, 11, INK)
            canvas.text(right - 80, row, self.unit(sum(values) / len(values)), 11, INK, "end")
            canvas.text(right, row, self.unit(max(values)), 11, INK, "end")
        if len(found) > len(shown):
            canvas.text(self.x + 32, y + 15 * (len(shown) + 1), f"and {len(found) - len(shown)} more", 11)


def _stack(found):
    """Each on top of those before: its upper edge, and its lower one."""
    edges, below = [], {}
    for name, points in found:
        under = [(time, below.get(time, 0)) for time, _ in points]
        over = [(time, value + below.get(time, 0)) for time, value in points]
        below.update(dict(over))
        edges.append((name, over, under))
    return edges


def rows(dashboard):
    """Each row with its panels."""
    found = []
    for panel in sorted(dashboard["panels"], key=lambda panel: (panel["gridPos"]["y"], panel["gridPos"]["x"])):
        if panel["type"] == "row":
            found.append((panel, []))
        else:
            found[-1][1].append(panel)
    return found


def file_name(row):
    return row["title"].split(",")[0].split()[0].lower() + ".svg"


def draw(dashboard, store):
    """The pictures by their files' names, and what there is no data for."""
    pictures, missing = {}, []
    for row, panels in rows(dashboard):
        top = row["gridPos"]["y"] + 1
        bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
        canvas = Canvas(WIDTH, HEAD + (bottom - top) * ROW)
        canvas.rect(0, 0, canvas.width, canvas.height, "#f4f5f5")
        canvas.text(GAP, 23, f"⌄ {row['title']}", 15, INK, weight=600)
        for panel in panels:
            faults = Panel(panel, top, store).draw(canvas)
            missing += [f"{panel['title']}: {fault}" for fault in faults]
        pictures[file_name(row)] = canvas.svg()
    return pictures, missing


def titles(picture):
    """The titles of the panels that a picture shows, and that of its row."""
    return {html.unescape(title).removeprefix("⌄ ") for title in re.findall(r'font-weight="600">([^<]+)</text>', picture)}
