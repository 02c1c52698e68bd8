"""Arrays into pictures: colours, overlays, outlines, legends, encoded files.

No function here stretches a map by itself: every colour comes from a range that the caller gives, and the legend
states that range. Colour tables are matplotlib's, applied in NumPy.
"""

from fcn_core.render.colour_bar import legend, short_number
from fcn_core.render.colours import (
    COLOUR_MAPS,
    DIVERGING,
    NO_DATA,
    Colour,
    UInt8,
    colour_table,
    colourise,
    row_blocks,
)
from fcn_core.render.drawing import (
    BOX_COLOUR,
    CASING,
    CONTOUR_COLOUR,
    MAP_OPACITY,
    draw_boxes,
    draw_contours,
    draw_mask,
    overlay,
    overlay_map,
    overlay_signed,
)
from fcn_core.render.encoding import Format, data_uri, encode, html_table
from fcn_core.render.lettering import contrast, ink_on
from fcn_core.render.segments import draw_segments, segment_colours, segment_legend, with_segment_legend

__all__ = [
    "BOX_COLOUR",
    "CASING",
    "COLOUR_MAPS",
    "CONTOUR_COLOUR",
    "DIVERGING",
    "MAP_OPACITY",
    "NO_DATA",
    "Colour",
    "Format",
    "UInt8",
    "colour_table",
    "colourise",
    "contrast",
    "data_uri",
    "draw_boxes",
    "draw_contours",
    "draw_mask",
    "draw_segments",
    "encode",
    "html_table",
    "ink_on",
    "legend",
    "overlay",
    "overlay_map",
    "overlay_signed",
    "row_blocks",
    "segment_colours",
    "segment_legend",
    "short_number",
    "with_segment_legend",
]
