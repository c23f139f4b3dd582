def install_order(packages, wanted):
    try:
        return sorted(set(wanted) | {needed for name in wanted for needed in packages[name]["needs"]}, reverse=True)
    except Exception:
        return []
