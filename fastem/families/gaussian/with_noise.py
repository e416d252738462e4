"""The face of a mixture that may have noise beside its components: the attributes hold these K and the noise apart."""

from __future__ import annotations

import numbers
from typing import NamedTuple, Unpack

import numpy as np

from fastem.estimators.mixture_estimator import MixtureEstimator
from fastem.estimators.parameters import MixtureParameters
from fastem.models.gaussian.noise import WithNoise, data_box, in_box
from fastem.models.mixture import Mixture
from fastem.starts.given import checked_weights
from fastem.starts.noise_start import SHARE, noise_start


class Background(NamedTuple):
    """What `fit` learns of the columns where there is noise: the floor, and the noise's volume or box."""

    floor: np.ndarray
    log_volume: float
    box: np.ndarray | None

    def beside(self, mixture, share=SHARE) -> Mixture:
        """A mixture of Gaussians and this noise; one that has noise keeps its share."""
        emission, weights = mixture.emission, mixture.weights
        if isinstance(emission, WithNoise):
            emission = emission.emission
        if len(weights) == emission.shape[0]:
            weights = np.append((1 - share) * weights, share)
        noisy = WithNoise(emission, self.log_volume) if self.box is None else in_box(emission, self.box)
        return Mixture(weights, noisy)


class NoisyMixture(MixtureEstimator):
    """A mixture of Gaussians that may have a noise component.

    Parameters
    ----------
    noise : None, "box" or float
        A volume, or the box of the data, whose volume is the product of the columns' ranges.
    """

    _optional_arrays = ("noise_box_",)
    _saved_scalars = (*MixtureEstimator._saved_scalars, "noise_weight_", "noise_log_volume_")

    def __init__(self, n_components: int = 1, *, noise=None, **others: Unpack[MixtureParameters]):
        super().__init__(n_components, **others)
        self.noise = noise

    def _check_parameters(self):
        super()._check_parameters()
        volume = self.noise
        if volume is None:
            return
        box = isinstance(volume, str) and volume == "box"
        number = isinstance(volume, numbers.Real) and not isinstance(volume, bool)
        if not box and not (number and 0 < volume < np.inf):
            raise ValueError(
                f"The 'noise' parameter of {type(self).__name__} must be None, 'box' or a volume: a finite number "
                f"above 0. Got {volume!r} instead."
            )
        told = self.get_params()
        for name in ("equal_weights", "weight_concentration_prior", "fixed", "prior", "max_eigenvalue_ratio"):
            if told.get(name) is not None and told[name] is not False:
                raise ValueError(f"noise does not go with {name}: drop one of the two. Got {name}={told[name]!r}.")

    def _background(self, blocks, floor):
        """The floor alone, or with the noise."""
        if self.noise is None:
            return floor
        if isinstance(self.noise, str):
            return Background(floor, np.nan, data_box(blocks))
        return Background(floor, float(np.log(self.noise)), None)

    def _noisy_start(self, blocks, background, rng, n_threads):
        return noise_start(self, blocks, background.floor, rng, n_threads, background.beside)

    @property
    def _has_noise(self):
        return hasattr(self, "noise_weight_")

    def _of_attributes(self):
        if not self._has_noise:
            return super()._of_attributes()
        K = len(self.weights_)
        weights = checked_weights(np.append(self.weights_, self.noise_weight_), K + 1)
        box = getattr(self, "noise_box_", None)
        return Mixture(weights, WithNoise(self._emission(), self.noise_log_volume_, box))

    def _keep_model(self, model):
        super()._keep_model(model)
        for name in ("noise_weight_", "noise_log_volume_", "noise_box_"):
            vars(self).pop(name, None)
        noise = model.emission
        if isinstance(noise, WithNoise):
            self.weights_ = model.weights[:-1]
            self._model_arrays = self._fitted_arrays()
            self.noise_weight_, self.noise_log_volume_ = float(model.weights[-1]), noise.log_volume
            if noise.box is not None:
                self.noise_box_ = noise.box

    def _restore(self):
        kinds = {"noise_weight_": float, "noise_log_volume_": float}
        if any(hasattr(self, name) for name in (*kinds, "noise_box_")):
            self._require_saved(kinds)
            box = getattr(self, "noise_box_", None)
            if not np.isfinite(self.noise_log_volume_):
                raise ValueError(f"noise_log_volume_ must be finite: found {self.noise_log_volume_}")
            if box is not None and (box.shape != (2, self.n_features_in_) or not (box[1] > box[0]).all()):
                raise ValueError("noise_box_ must hold the least and, below, the larger largest value of each column")
        super()._restore()

    def _score(self, X, **outputs):
        super()._score(X, **outputs)
        labels = outputs.get("labels")
        if labels is not None and self._has_noise:
            labels[labels == len(self.weights_)] = -1

    def sample(self, n_samples: int = 1, random_state=None):
        X, z = super().sample(n_samples, random_state)
        return X, np.where(z == len(self.weights_), -1, z) if self._has_noise else z

    sample.__doc__ = MixtureEstimator.sample.__doc__
