"""In which order to install packages."""


def install_order(packages, wanted):
    raise NotImplementedError
