"""Charts as SVG: shapes at positions, one template that draws them, and files made of that."""
