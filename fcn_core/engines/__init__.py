"""Engines, which run a converted network on a picture: whole or in bands, with exported graphs and forecasts."""
