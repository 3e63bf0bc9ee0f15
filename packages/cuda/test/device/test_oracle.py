"""Holds the oracle of the device checks against `fixtures/contract.json`; parts with tensors need PyTorch, no GPU."""

import importlib.util
import json
import math
import sys
import unittest
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))

import noise_oracle  # noqa: E402
import statistics_oracle  # noqa: E402

CONTRACT = json.loads((FOLDER.parents[3] / "fixtures" / "contract.json").read_text())
HAS_TORCH = importlib.util.find_spec("torch") is not None


class Noise(unittest.TestCase):
    def test_philox_gives_the_words_of_the_fixtures(self) -> None:
        for case in CONTRACT["philox4x32"]:
            self.assertEqual(list(noise_oracle.philox4x32(case["counter"], case["key"])), case["words"])
        for case in CONTRACT["philox2x32"]:
            self.assertEqual(list(noise_oracle.philox2x32(*case["counter"], case["key"])), case["words"])

    def test_bits_and_noise_are_those_of_the_fixtures(self) -> None:
        for case in CONTRACT["noise"]:
            key = noise_oracle.row_key(int(case["seed"]), int(case["position"]), case["draw"])
            bits = noise_oracle.token_bits("flash", key, case["tokenId"])
            self.assertEqual(bits, case["bits"])
            self.assertTrue(math.isclose(noise_oracle.gumbel("flash", bits), case["gumbel"], rel_tol=1e-13))
            key = noise_oracle.row_key(int(case["seed"]), int(case["position"]), 0)
            bits = noise_oracle.token_bits("vllm", key, case["tokenId"])
            self.assertEqual(bits, case["vllmBits"])
            self.assertTrue(math.isclose(noise_oracle.gumbel("vllm", bits), case["vllmGumbel"], rel_tol=1e-13))

    def test_noise_of_extreme_bits_is_that_of_the_fixtures(self) -> None:
        for case in CONTRACT["gumbel"]:
            self.assertTrue(math.isclose(noise_oracle.gumbel("flash", case["bits"]), case["gumbel"], rel_tol=1e-13))


class Statistics(unittest.TestCase):
    def test_tail_of_chi_square_is_that_of_tables(self) -> None:
        # Quantiles at 5 % and 0.1 %, from tables.
        for degrees, value, tail in (
            (10, 18.307, 0.05),
            (100, 124.342, 0.05),
            (10, 29.588, 1e-3),
            (100, 149.449, 1e-3),
        ):
            self.assertLess(abs(statistics_oracle.chi_square_tail(value, degrees) / tail - 1), 0.07)

    def test_equal_counts_and_shifted_counts_are_told_apart(self) -> None:
        expected = [100.0] * 50
        self.assertGreater(statistics_oracle.chi_square([100] * 50, expected).p_value, 0.999)
        self.assertLess(statistics_oracle.chi_square([130, 70] * 25, expected).p_value, 1e-6)

    def test_rare_cells_are_pooled_and_keep_their_counts(self) -> None:
        result = statistics_oracle.chi_square([0, 1] * 100 + [50], [0.5] * 200 + [50.0])
        self.assertEqual(result.degrees, 10)
        self.assertGreater(result.p_value, 0.99)

    def test_two_samples_of_one_distribution_agree_and_of_two_do_not(self) -> None:
        weights = [1.0] * 20
        self.assertGreater(
            statistics_oracle.two_sample_chi_square([105, 95] * 10, [95, 105] * 10, weights).p_value, 1e-3
        )
        self.assertLess(statistics_oracle.two_sample_chi_square([150, 50] * 10, [100] * 20, weights).p_value, 1e-9)


@unittest.skipUnless(HAS_TORCH, "PyTorch is not installed")
class Draws(unittest.TestCase):
    def test_noise_tables_are_those_of_python_integers(self) -> None:
        import oracle
        import torch

        seeds = [0, 1, 2**63 + 5, 2**64 - 1]
        rows = oracle.Rows(
            seed=torch.tensor([seed - (seed >> 63 << 64) for seed in seeds]),
            position=torch.tensor([7, 2**40, 0, -1]),
            draw_index=torch.tensor([0, 3, 2**31 - 1, -1], dtype=torch.int32),
        )
        positions, draws = [7, 2**40, 0, 2**64 - 1], [2, 5, 2**31 + 1, 1]
        token_ids = torch.tensor([0, 7, 8, 9, 31, 151_935, 2**31, 2**32 - 1])
        for scheme in ("flash", "vllm"):
            table = oracle.noise_table(scheme, rows, 2, 4, token_ids)
            for row, (seed, position, draw) in enumerate(zip(seeds, positions, draws, strict=True)):
                key = noise_oracle.row_key(seed, position, draw)
                for column, token_id in enumerate(token_ids.tolist()):
                    expected = noise_oracle.gumbel(scheme, noise_oracle.token_bits(scheme, key, token_id))
                    self.assertTrue(math.isclose(table[row, column].item(), expected, rel_tol=1e-12, abs_tol=1e-13))

    def test_heads_draw_the_tokens_of_the_fixtures(self) -> None:
        import oracle
        import torch

        for case in CONTRACT["head"]:
            batch_size = len(case["hiddenStates"])
            rows = oracle.Rows(
                temperature=torch.full((batch_size,), case["temperature"], dtype=torch.float64),
                seed=torch.tensor([int(seed) - (int(seed) >> 63 << 64) for seed in case["seeds"]]),
                position=torch.tensor([int(position) for position in case["positions"]]),
            )
            logits = oracle.logits_of(torch.tensor(case["hiddenStates"]), torch.tensor(case["weight"]))
            draws = oracle.draw(logits, rows)
            self.assertEqual(draws.token_ids[:, 0].tolist(), case["tokenIds"])
            for found, expected in zip(draws.logprobs[:, 0].tolist(), case["logprobs"], strict=True):
                self.assertTrue(math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-9))

    def test_rows_draw_the_tokens_of_the_fixtures(self) -> None:
        import oracle
        import torch

        served = {"temperature", "logitBias", "allowedTokens", "drawIndex"}
        count = 0
        for case in CONTRACT["sample"]:
            params = case["params"]
            if not set(params) <= served:
                continue
            count += 1
            vocab_size = len(case["logits"])
            bias = torch.zeros(vocab_size)
            for token_id, value in params.get("logitBias", {}).items():
                bias[int(token_id)] = value
            mask = torch.zeros((vocab_size + 31) // 32, dtype=torch.int64)
            for token_id in params.get("allowedTokens", range(vocab_size)):
                mask[token_id // 32] |= 1 << (token_id % 32)
            seed = int(case["seed"])
            rows = oracle.Rows(
                temperature=torch.tensor([params.get("temperature", 1.0)], dtype=torch.float64),
                seed=torch.tensor([seed - (seed >> 63 << 64)]),
                position=torch.tensor([int(case["position"])]),
                draw_index=torch.tensor([params.get("drawIndex", 0)], dtype=torch.int32),
                logit_bias=bias,
                allowed_tokens=mask,
            )
            draws = oracle.draw(torch.tensor([case["logits"]], dtype=torch.float64), rows)
            self.assertEqual(draws.token_ids.item(), case["tokenId"])
            self.assertLess(abs(draws.logprobs.item() - case["logprob"]), 1e-6)
        self.assertGreater(count, 5)


if __name__ == "__main__":
    unittest.main()
