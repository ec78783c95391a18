namespace Microsoft.ML.EarlyExit;

/// <summary>Which thresholds pass (Angelopoulos, Bates, Candès, Jordan and Lei, arXiv 2110.01052), by each <see cref="RiskProcedure"/>.</summary>
internal static class LearnThenTest
{
    /// <summary>
    /// The level that the procedure compares a lone p-value with: ε/P for one sequence each, ε for one over all, else ε divided by all thresholds.
    /// </summary>
    /// <param name="procedure">The procedure.</param>
    /// <param name="policies">P, at least 1.</param>
    /// <param name="configurations">The number of all thresholds of all policies, at least 1.</param>
    /// <param name="epsilon">ε, in (0, 1).</param>
    public static double Level(RiskProcedure procedure, int policies, int configurations, double epsilon)
    {
        CalibrationArguments.CheckOpenUnit(epsilon);
        ArgumentOutOfRangeException.ThrowIfLessThan(policies, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(configurations, policies);
        return procedure switch
        {
            RiskProcedure.FixedSequence => epsilon / policies,
            RiskProcedure.FixedSequenceByCost => epsilon,
            RiskProcedure.Bonferroni or RiskProcedure.Holm => epsilon / configurations,
            _ => throw Unknown(procedure),
        };
    }

    /// <summary>Which thresholds passed.</summary>
    /// <param name="procedure">The procedure.</param>
    /// <param name="pValues">For each policy, the p-values down its grid; the grids may differ in length.</param>
    /// <param name="heldOutCosts">
    /// For <see cref="RiskProcedure.FixedSequenceByCost"/>, the expected cost of each, of the same shape, from rows that are not among the calibration's; else
    /// null.
    /// </param>
    /// <param name="epsilon">ε, in (0, 1).</param>
    /// <returns>Of the shape of <paramref name="pValues"/>.</returns>
    public static bool[][] Passed(RiskProcedure procedure, IReadOnlyList<double[]> pValues, IReadOnlyList<double[]>? heldOutCosts, double epsilon)
    {
        if (pValues.Count == 0)
            throw new ArgumentException("There is no policy.", nameof(pValues));
        foreach (double[] row in pValues)
            CalibrationArguments.CheckPValues(row, nameof(pValues));
        if (heldOutCosts is null == (procedure == RiskProcedure.FixedSequenceByCost))
            throw new ArgumentException("Costs belong to FixedSequenceByCost, and only there.", nameof(heldOutCosts));

        double level = Level(procedure, pValues.Count, pValues.Sum(row => row.Length), epsilon);
        if (procedure == RiskProcedure.FixedSequence)
        {
            return [.. pValues.Select(row =>
            {
                bool[] prefix = new bool[row.Length];
                prefix.AsSpan(0, FixedSequence(row, level) + 1).Fill(true);
                return prefix;
            })];
        }

        double[] all = [.. pValues.SelectMany(row => row)];
        IEnumerable<int> valid = procedure switch
        {
            RiskProcedure.FixedSequenceByCost => ByCost(all, Costs(pValues, heldOutCosts!), epsilon),
            RiskProcedure.Bonferroni => Bonferroni(all, epsilon),
            _ => Holm(all, epsilon),
        };
        var passed = valid.ToHashSet();
        int at = 0;
        return [.. pValues.Select(row => row.Select(_ => passed.Contains(at++)).ToArray())];
    }

    /// <summary>The index of the last p-value before the first above ε (ε itself passes); -1 where already the first is.</summary>
    public static int FixedSequence(ReadOnlySpan<double> pValues, double epsilon)
    {
        CalibrationArguments.CheckOpenUnit(epsilon);
        CalibrationArguments.CheckPValues(pValues);
        int index = 0;
        while (index < pValues.Length && pValues[index] <= epsilon)
            index++;
        return index - 1;
    }

    /// <summary>The indices that pass when tested from the largest cost to the smallest, those of equal cost as they stand; in that order.</summary>
    /// <exception cref="ArgumentException">A cost is NaN, or there are more or fewer than p-values.</exception>
    public static int[] ByCost(ReadOnlySpan<double> pValues, ReadOnlySpan<double> heldOutCosts, double epsilon)
    {
        if (pValues.Length != heldOutCosts.Length)
            throw new ArgumentException($"There are {heldOutCosts.Length} costs for {pValues.Length} p-values.", nameof(heldOutCosts));
        for (int index = 0; index < heldOutCosts.Length; index++)
        {
            if (double.IsNaN(heldOutCosts[index]))
                throw new ArgumentException($"The cost at index {index} is NaN.", nameof(heldOutCosts));
        }

        double[] costs = heldOutCosts.ToArray();
        double[] values = pValues.ToArray();
        int[] order = [.. Enumerable.Range(0, costs.Length).OrderByDescending(index => costs[index])];
        return order[..(FixedSequence(Array.ConvertAll(order, index => values[index]), epsilon) + 1)];
    }

    /// <summary>The indices of the p-values of at most ε divided by their number.</summary>
    public static int[] Bonferroni(ReadOnlySpan<double> pValues, double epsilon)
    {
        CalibrationArguments.CheckOpenUnit(epsilon);
        CalibrationArguments.CheckPValues(pValues);
        var valid = new List<int>();
        for (int index = 0; index < pValues.Length; index++)
        {
            if (pValues[index] <= epsilon / pValues.Length)
                valid.Add(index);
        }

        return [.. valid];
    }

    /// <summary>The indices of the smallest p-values, as long as the i-th of m is at most ε / (m - i), i from 0; in the order of the indices.</summary>
    public static int[] Holm(ReadOnlySpan<double> pValues, double epsilon)
    {
        CalibrationArguments.CheckOpenUnit(epsilon);
        CalibrationArguments.CheckPValues(pValues);
        double[] sorted = pValues.ToArray();
        int[] indices = [.. Enumerable.Range(0, sorted.Length)];
        Array.Sort(sorted, indices);
        int count = 0;
        while (count < sorted.Length && sorted[count] <= epsilon / (sorted.Length - count))
            count++;
        int[] valid = indices[..count];
        Array.Sort(valid);
        return valid;
    }

    private static double[] Costs(IReadOnlyList<double[]> pValues, IReadOnlyList<double[]> costs)
    {
        if (costs.Count != pValues.Count)
            throw new ArgumentException($"There are costs of {costs.Count} policies for p-values of {pValues.Count}.", nameof(costs));
        for (int policy = 0; policy < costs.Count; policy++)
        {
            if (costs[policy].Length != pValues[policy].Length)
                throw new ArgumentException($"Policy {policy} has {costs[policy].Length} costs for {pValues[policy].Length} p-values.", nameof(costs));
        }

        return [.. costs.SelectMany(row => row)];
    }

    private static ArgumentOutOfRangeException Unknown(RiskProcedure procedure) => new(nameof(procedure), procedure, "This is no RiskProcedure.");
}
