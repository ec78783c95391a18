using System.Text.Json;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class LearnThenTestTests
{
    [Fact]
    public void P_values_and_selections_of_loss_tables_are_those_of_MAPIE()
    {
        int count = 0;
        foreach (JsonElement table in CalibrationFixture.Read("loss-tables", "tables").EnumerateArray())
        {
            double[][] columns = Columns(table);
            foreach (JsonElement expected in table.GetProperty("learn_then_test").EnumerateArray())
            {
                RiskTest test = expected.GetProperty("p_value").GetString() == "binomial" ? RiskTest.Binomial : RiskTest.HoeffdingBentkus;
                double epsilon = expected.Number("epsilon");
                double[] pValues = [.. columns.Select(column => test.PValue(column, expected.Number("delta"), epsilon))];
                foreach ((double p, double actual) in expected.Numbers("p").Zip(pValues))
                    CalibrationFixture.EqualP(p, actual, expected);
                Assert.Equal(expected.Integer("fixed_sequence_selected"), LearnThenTest.FixedSequence(pValues, epsilon));
                Assert.Equal(expected.Integers("bonferroni_valid"), LearnThenTest.Bonferroni(pValues, epsilon));
                Assert.Equal(expected.Integers("holm_valid"), LearnThenTest.Holm(pValues, epsilon));
                count++;
            }

            foreach (JsonElement expected in table.GetProperty("conformal_risk_control").EnumerateArray())
            {
                double[] risks = [.. columns.Select(column => ConformalRiskControl.AdjustedRisk(column))];
                foreach ((double risk, double actual) in expected.Numbers("r_hat_plus").Zip(risks))
                    Assert.Equal(risk, actual, 1e-9 * risk);
                Assert.Equal(expected.Integer("selected"), ConformalRiskControl.Select(risks, expected.Number("alpha")));
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
        Assert.Equal(selected, LearnThenTest.FixedSequence(pValues, 0.05));

    [Property]
    public Property What_passes_for_a_smaller_epsilon_passes_for_a_larger() =>
        Prop.ForAll(Samples.PValues.ToArbitrary(), Samples.Unit.ToArbitrary(), (pValues, epsilon) =>
        {
            double larger = epsilon + ((1 - epsilon) / 4);
            foreach (RiskProcedure procedure in Enum.GetValues<RiskProcedure>().Where(procedure => procedure != RiskProcedure.ConformalRiskControl))
            {
                double[][]? costs = procedure == RiskProcedure.FixedSequenceByCost ? [Array.ConvertAll(pValues, value => 1 - value)] : null;
                bool[] few = LearnThenTest.Passed(procedure, [pValues], costs, epsilon)[0];
                bool[] more = LearnThenTest.Passed(procedure, [pValues], costs, larger)[0];
                Assert.All(few.Zip(more), pair => Assert.True(!pair.First || pair.Second));
            }
        });

    [Property]
    public Property Holm_passes_what_Bonferroni_passes_and_never_a_value_above_epsilon() =>
        Prop.ForAll(Samples.PValues.ToArbitrary(), Samples.Unit.ToArbitrary(), (pValues, epsilon) =>
        {
            int[] holm = LearnThenTest.Holm(pValues, epsilon);
            Assert.Subset(holm.ToHashSet(), LearnThenTest.Bonferroni(pValues, epsilon).ToHashSet());
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

            int[] passed = LearnThenTest.ByCost(shuffled, costs, epsilon);

            Assert.Equal(Enumerable.Range(0, LearnThenTest.FixedSequence(pValues, epsilon) + 1), passed.Select(index => places[index]));
        });

    [Fact]
    public void Several_policies_share_epsilon_or_go_in_the_order_of_their_costs()
    {
        double[][] pValues = [[0.01, 0.03, 0.01], [0.04, 0.02], [0.02, 0.025, 0.025, 0.2]];

        Assert.Equal([[true, true, true], [false, false], [true, true, true, false]], Where(RiskProcedure.FixedSequence, 0.0901, null));
        Assert.Equal(
            [[true, true, false], [false, false], [true, true, false, false]],
            Where(RiskProcedure.FixedSequenceByCost, 0.03, [[9, 8, 3], [5, 4], [8, 7, 2, 1]]));
        Assert.Equal([[true, false, true], [false, false], [false, false, false, false]], Where(RiskProcedure.Bonferroni, 0.0901, null));
        Assert.Equal([[true, false, true], [false, false], [false, false, false, false]], Where(RiskProcedure.Holm, 0.0901, null));
        Assert.Equal(0.03, LearnThenTest.Level(RiskProcedure.FixedSequence, 3, 9, 0.09), 1e-15);
        Assert.Equal(0.09, LearnThenTest.Level(RiskProcedure.FixedSequenceByCost, 3, 9, 0.09), 1e-15);
        Assert.Equal(0.01, LearnThenTest.Level(RiskProcedure.Holm, 3, 9, 0.09), 1e-15);

        bool[][] Where(RiskProcedure procedure, double epsilon, double[][]? costs) => LearnThenTest.Passed(procedure, pValues, costs, epsilon);
    }

    [Fact]
    public void What_makes_no_sense_is_refused()
    {
        Assert.Throws<ArgumentException>(() => LearnThenTest.Passed(RiskProcedure.FixedSequence, [], null, 0.1));
        Assert.Throws<ArgumentException>(() => LearnThenTest.Passed(RiskProcedure.FixedSequence, [[]], null, 0.1));
        Assert.Throws<ArgumentException>(() => LearnThenTest.Passed(RiskProcedure.FixedSequenceByCost, [[0.1]], null, 0.1));
        Assert.Throws<ArgumentException>(() => LearnThenTest.Passed(RiskProcedure.Holm, [[0.1]], [[1]], 0.1));
        Assert.Throws<ArgumentException>(() => LearnThenTest.Passed(RiskProcedure.FixedSequenceByCost, [[0.1]], [[1, 2]], 0.1));
        Assert.Throws<ArgumentException>(() => LearnThenTest.Passed(RiskProcedure.FixedSequenceByCost, [[0.1], [0.2]], [[1]], 0.1));
        Assert.Contains("index 1", Assert.Throws<ArgumentException>(() => LearnThenTest.ByCost([0.1, 0.1], [1, double.NaN], 0.1)).Message);
        Assert.Contains("index 2", Assert.Throws<ArgumentException>(() => LearnThenTest.FixedSequence([0.1, 1, double.NaN], 0.1)).Message);
        Assert.Throws<ArgumentOutOfRangeException>(() => LearnThenTest.FixedSequence([0.1], 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => LearnThenTest.Passed((RiskProcedure)9, [[0.1]], null, 0.1));
    }

    private static double[][] Columns(JsonElement table)
    {
        double[][] rows = [.. table.GetProperty("losses").EnumerateArray().Select(row => row.EnumerateArray().Select(value => value.GetDouble()).ToArray())];
        Assert.Equal((table.Integer("n"), table.Integer("m")), (rows.Length, rows[0].Length));
        return [.. Enumerable.Range(0, rows[0].Length).Select(column => rows.Select(row => row[column]).ToArray())];
    }
}
