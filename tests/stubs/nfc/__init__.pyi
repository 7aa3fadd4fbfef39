from . import clf as clf
