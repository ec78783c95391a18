using System.Text.Json;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Calibration.Procedures;
using Microsoft.ML.EarlyExit.Calibration.Statistics;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class LearnThenTestTests
{
    /// <summary>Policies with grids of several lengths; values are small often, and equal sometimes, as costs are.</summary>
    private static readonly Gen<Table> s_tables =
        from lengths in Gen.Choose(1, 4).SelectMany(policies => Gen.Choose(1, 6).ArrayOf(policies))
        from values in Gen.Choose(0, 40).Select(share => Math.Pow(share / 40.0, 3)).ArrayOf(lengths.Sum())
        from costs in Gen.Choose(0, 12).Select(cost => (double)cost).ArrayOf(lengths.Sum())
        from limit in Gen.OneOf(Samples.Unit, Gen.Elements(0.1, 0.3, 0.9))
        select new Table(lengths, values, costs, limit);

    [Fact]
    public void P_values_and_selections_of_loss_tables_are_those_of_MAPIE()
    {
        int count = 0;
        foreach (JsonElement table in CalibrationFixture.Read("loss-tables", "tables").EnumerateArray())
        {
            double[][] columns = Columns(table);
            Candidate[] candidates = Candidate.All(1, columns.Length);
            foreach (JsonElement expected in table.GetProperty("learn_then_test").EnumerateArray())
            {
                RiskTest test = expected.GetProperty("p_value").GetString() == "binomial" ? RiskTest.Binomial : RiskTest.HoeffdingBentkus;
                double epsilon = expected.Number("epsilon");
                double[] pValues = [.. columns.Select(column => test.PValue(column, expected.Number("delta"), epsilon))];
                foreach ((double p, double actual) in expected.Numbers("p").Zip(pValues))
                    CalibrationFixture.EqualP(p, actual, expected);
                Assert.Equal(Enumerable.Range(0, expected.Integer("fixed_sequence_selected") + 1), Passed(RiskProcedure.FixedSequence, pValues, epsilon));
                Assert.Equal(expected.Integers("bonferroni_valid"), Passed(RiskProcedure.Bonferroni, pValues, epsilon));
                Assert.Equal(expected.Integers("holm_valid"), Passed(RiskProcedure.Holm, pValues, epsilon));
                count++;
            }

            foreach (JsonElement expected in table.GetProperty("conformal_risk_control").EnumerateArray())
            {
                double[] risks = [.. columns.Select(column => ConformalRiskControl.AdjustedRisk(column))];
                foreach ((double risk, double actual) in expected.Numbers("r_hat_plus").Zip(risks))
                    Assert.Equal(risk, actual, 1e-9 * risk);
                Verdict[] verdicts = ConformalRiskControl.Walk(candidates, expected.Number("alpha"), candidate => risks[candidate.GridIndex]);
                Assert.Equal(expected.Integer("selected"), verdicts.Count(verdict => verdict.Passed) - 1);
            }
        }

        Assert.Equal(15 * 12 + 4 * 12, count);
    }

    [Theory]
    [InlineData(new[] { 0.01, 0.05, 0.050000001, 0.001 }, 1)]
    [InlineData(new[] { 0.06, 0.001 }, -1)]
    [InlineData(new[] { 0.0, 0.05 }, 1)]
    [InlineData(new[] { 0.05 }, 0)]
    public void A_sequence_ends_at_the_first_value_above_epsilon_which_itself_passes(double[] pValues, int selected) =>
        Assert.Equal(Enumerable.Range(0, selected + 1), Passed(RiskProcedure.FixedSequence, pValues, 0.05));

    [Property]
    public Property What_passes_for_a_smaller_epsilon_passes_for_a_larger() =>
        Prop.ForAll(Samples.PValues.ToArbitrary(), Samples.Unit.ToArbitrary(), (pValues, epsilon) =>
        {
            double larger = epsilon + ((1 - epsilon) / 4);
            foreach (RiskProcedure procedure in Enum.GetValues<RiskProcedure>().Where(procedure => procedure != RiskProcedure.ConformalRiskControl))
            {
                double[] costs = Array.ConvertAll(pValues, value => 1 - value);
                Assert.Subset(Passed(procedure, pValues, larger, costs).ToHashSet(), Passed(procedure, pValues, epsilon, costs).ToHashSet());
            }
        });

    [Property]
    public Property Holm_passes_what_Bonferroni_passes_and_never_a_value_above_epsilon() =>
        Prop.ForAll(Samples.PValues.ToArbitrary(), Samples.Unit.ToArbitrary(), (pValues, epsilon) =>
        {
            int[] holm = Passed(RiskProcedure.Holm, pValues, epsilon);
            Assert.Subset(holm.ToHashSet(), Passed(RiskProcedure.Bonferroni, pValues, epsilon).ToHashSet());
            Assert.All(holm, index => Assert.True(pValues[index] <= epsilon));

            // Whatever is at most as large as something that passed, passed too.
            double largest = holm.Length == 0 ? -1 : holm.Max(index => pValues[index]);
            Assert.Equal(holm.Length, pValues.Count(value => value <= largest));
        });

    [Property]
    public Property A_sequence_over_falling_costs_is_the_fixed_sequence_in_any_arrangement() =>
        Prop.ForAll(Samples.PValues.ToArbitrary(), Samples.Unit.ToArbitrary(), Gen.Choose(0, 1000).ToArbitrary(), (pValues, epsilon, seed) =>
        {
            int[] places = [.. Enumerable.Range(0, pValues.Length)];
            new Random(seed).Shuffle(places);
            double[] shuffled = Array.ConvertAll(places, place => pValues[place]);
            double[] costs = Array.ConvertAll(places, place => (double)-place);

            int[] passed = Passed(RiskProcedure.FixedSequenceByCost, shuffled, epsilon, costs);

            Assert.Equal(Passed(RiskProcedure.FixedSequence, pValues, epsilon), passed.Select(index => places[index]));
        });

    [Property]
    public Property What_passes_is_what_passes_by_definition_from_all_values_at_once() =>
        Prop.ForAll(s_tables.ToArbitrary(), table =>
        {
            foreach (RiskProcedure procedure in Enum.GetValues<RiskProcedure>())
            {
                Verdict[] verdicts = Walk(procedure, table, table.Cost, table.Value);

                Assert.Equal(
                    EagerProcedures.Passed(procedure, table.CandidatesOf(procedure), table.Limit, table.Value, table.Cost),
                    verdicts.Where(verdict => verdict.Passed).Select(verdict => verdict.Candidate).ToHashSet());
                Assert.All(verdicts, verdict => Assert.Equal(table.Value(verdict.Candidate), verdict.Value));
            }
        });

    /// <summary>A value costs a run over all prompts.</summary>
    [Property(MaxTest = 50)]
    public Property Values_are_asked_for_once_where_they_can_decide_anything_and_nowhere_else() =>
        Prop.ForAll(s_tables.ToArbitrary(), table =>
        {
            foreach (RiskProcedure procedure in Enum.GetValues<RiskProcedure>())
            {
                Candidate[] candidates = table.CandidatesOf(procedure);
                var costs = new List<Candidate>();
                var values = new List<Candidate>();
                Verdict[] verdicts = Walk(
                    procedure,
                    table,
                    candidate =>
                    {
                        costs.Add(candidate);
                        Assert.Empty(values);
                        return table.Cost(candidate);
                    },
                    candidate =>
                    {
                        values.Add(candidate);
                        return table.Value(candidate);
                    });

                Assert.Equal(procedure == RiskProcedure.FixedSequenceByCost ? candidates : [], costs);
                Assert.Equal(verdicts.Select(verdict => verdict.Candidate), values);
                Assert.Equal(values.Distinct(), values);
                foreach (Candidate candidate in candidates)
                    Assert.Equal(!PassedWith(candidate, 0).SetEquals(PassedWith(candidate, 1)), values.Contains(candidate));

                HashSet<Candidate> PassedWith(Candidate changed, double value) => EagerProcedures.Passed(
                    procedure, candidates, table.Limit, candidate => candidate == changed ? value : table.Value(candidate), table.Cost);
            }
        });

    [Fact]
    public void Several_policies_share_epsilon_or_go_in_the_order_of_their_costs()
    {
        double[][] pValues = [[0.01, 0.03, 0.01], [0.04, 0.02], [0.02, 0.025, 0.025, 0.2]];
        Candidate[] candidates = [.. pValues.SelectMany((row, policy) => row.Select((_, index) => new Candidate(policy, index)))];

        Assert.Equal([[true, true, true], [false, false], [true, true, true, false]], Where(RiskProcedure.FixedSequence, 0.0901, null));
        Assert.Equal(
            [[true, true, false], [false, false], [true, true, false, false]],
            Where(RiskProcedure.FixedSequenceByCost, 0.03, [[9, 8, 3], [5, 4], [8, 7, 2, 1]]));
        Assert.Equal([[true, false, true], [false, false], [false, false, false, false]], Where(RiskProcedure.Bonferroni, 0.0901, null));
        Assert.Equal([[true, false, true], [false, false], [false, false, false, false]], Where(RiskProcedure.Holm, 0.0901, null));
        Assert.Equal(0.03, LearnThenTest.Level(RiskProcedure.FixedSequence, candidates, 0.09), 1e-15);
        Assert.Equal(0.09, LearnThenTest.Level(RiskProcedure.FixedSequenceByCost, candidates, 0.09), 1e-15);
        Assert.Equal(0.01, LearnThenTest.Level(RiskProcedure.Holm, candidates, 0.09), 1e-15);

        bool[][] Where(RiskProcedure procedure, double epsilon, double[][]? costs)
        {
            Verdict[] verdicts = LearnThenTest.Walk(
                procedure, candidates, epsilon,
                candidate => costs![candidate.PolicyIndex][candidate.GridIndex], candidate => pValues[candidate.PolicyIndex][candidate.GridIndex]);
            HashSet<Candidate> passed = [.. verdicts.Where(verdict => verdict.Passed).Select(verdict => verdict.Candidate)];
            return [.. pValues.Select((row, policy) => row.Select((_, index) => passed.Contains(new Candidate(policy, index))).ToArray())];
        }
    }

    [Fact]
    public void What_makes_no_sense_is_refused()
    {
        Assert.Throws<ArgumentException>(() => Passed(RiskProcedure.FixedSequence, [], 0.1));
        Assert.Throws<ArgumentOutOfRangeException>(() => Passed(RiskProcedure.FixedSequence, [0.1], 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => Passed((RiskProcedure)9, [0.1], 0.1));
        Assert.Throws<ArgumentOutOfRangeException>(() => Passed(RiskProcedure.ConformalRiskControl, [0.1], 0.1));
        Assert.Contains(
            "index 1 ", Assert.Throws<ArgumentException>(() => Passed(RiskProcedure.FixedSequenceByCost, [0.1, 0.1], 0.1, [1, double.NaN])).Message);
        foreach (double value in (double[])[double.NaN, -0.1, 1.1])
        {
            foreach (RiskProcedure procedure in Enum.GetValues<RiskProcedure>().Where(procedure => procedure != RiskProcedure.ConformalRiskControl))
                Assert.Contains("index 2 ", Assert.Throws<ArgumentException>(() => Passed(procedure, [0.1, 0.1, value], 0.1, [3, 2, 1])).Message);
            Assert.Contains("index 0 ", Assert.Throws<ArgumentException>(() => ConformalRiskControl.Walk(Candidate.All(1, 2), 0.1, _ => value)).Message);
        }
    }

    /// <summary>The indices of the p-values of one policy that pass.</summary>
    private static int[] Passed(RiskProcedure procedure, double[] pValues, double epsilon, double[]? costs = null) =>
    [
        .. LearnThenTest.Walk(
                procedure, Candidate.All(1, pValues.Length), epsilon, candidate => costs![candidate.GridIndex], candidate => pValues[candidate.GridIndex])
            .Where(verdict => verdict.Passed)
            .Select(verdict => verdict.Candidate.GridIndex),
    ];

    private static Verdict[] Walk(RiskProcedure procedure, Table table, Func<Candidate, double> costOf, Func<Candidate, double> valueOf) =>
        procedure == RiskProcedure.ConformalRiskControl
            ? ConformalRiskControl.Walk(table.CandidatesOf(procedure), table.Limit, valueOf)
            : LearnThenTest.Walk(procedure, table.CandidatesOf(procedure), table.Limit, costOf, valueOf);

    private static double[][] Columns(JsonElement table)
    {
        double[][] rows = [.. table.GetProperty("losses").EnumerateArray().Select(row => row.EnumerateArray().Select(value => value.GetDouble()).ToArray())];
        Assert.Equal((table.Integer("n"), table.Integer("m")), (rows.Length, rows[0].Length));
        return [.. Enumerable.Range(0, rows[0].Length).Select(column => rows.Select(row => row[column]).ToArray())];
    }

    /// <summary>Values and costs of candidates, policy by policy.</summary>
    private sealed record Table(int[] Lengths, double[] Values, double[] Costs, double Limit)
    {
        private readonly Candidate[] _candidates =
            [.. Lengths.SelectMany((length, policy) => Enumerable.Range(0, length).Select(index => new Candidate(policy, index)))];

        /// <summary>Conformal risk control takes one policy.</summary>
        public Candidate[] CandidatesOf(RiskProcedure procedure) => procedure == RiskProcedure.ConformalRiskControl ? _candidates[..Lengths[0]] : _candidates;

        public double Value(Candidate candidate) => Values[Array.IndexOf(_candidates, candidate)];

        public double Cost(Candidate candidate) => Costs[Array.IndexOf(_candidates, candidate)];
    }
}
