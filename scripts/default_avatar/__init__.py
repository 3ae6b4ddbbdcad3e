"""The default avatar, part by part: source data, mesh tools, skin, garments, shoes, hair. `build_default_avatar.py` puts them together."""
