"""What an adapter on each edge of a frozen backbone promises, before anything is trained.

A score is a function from what is added up over images to a number for every edge: the larger, the more promising. Its
keyword-only arguments are its settings in a recipe.
"""

SCORES: dict[str, str] = {
    "srank": "petlsparse.scores.spectra:srank",
    "numerical-rank": "petlsparse.scores.spectra:numerical_rank",
    "stable-rank": "petlsparse.scores.spectra:stable_rank",
    "entropy-rank": "petlsparse.scores.spectra:entropy_rank",
    "frobenius-norm": "petlsparse.scores.spectra:frobenius_norm",
    "nuclear-norm": "petlsparse.scores.spectra:nuclear_norm",
    "spectral-norm": "petlsparse.scores.spectra:spectral_norm",
    "trace": "petlsparse.scores.spectra:trace",
    "page": "petlsparse.scores.rivals:page",
    "normalised-gradient-norm": "petlsparse.scores.rivals:normalised_gradient_norm",
    "activation-energy": "petlsparse.scores.rivals:activation_energy",
    "activation-norm": "petlsparse.scores.rivals:activation_norm",
    "fisher": "petlsparse.scores.rivals:fisher",
    "cka": "petlsparse.scores.rivals:cka",
    "plop": "petlsparse.scores.rivals:plop",
    "synflow": "petlsparse.scores.rivals:synflow",
    "random": "petlsparse.scores.rivals:random",
}
"""Name -> "module:attribute"."""
