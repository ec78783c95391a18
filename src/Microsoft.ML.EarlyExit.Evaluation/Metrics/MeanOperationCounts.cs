using System.Text.Json.Serialization;
using Microsoft.ML.EarlyExit.Evaluation.Text;

namespace Microsoft.ML.EarlyExit;

/// <summary>Floating-point operations of decoding, a row on average. The numbers are those of <see cref="OperationCounts"/>.</summary>
public readonly record struct MeanOperationCounts
{
    /// <summary>Each number by its name.</summary>
    [JsonConstructor]
    internal MeanOperationCounts(double decoder, double statePropagation, double confidence, double head, double paper)
    {
        Decoder = decoder;
        StatePropagation = statePropagation;
        Confidence = confidence;
        Head = head;
        Paper = paper;
    }

    /// <summary>Decoder blocks.</summary>
    public double Decoder { get; }

    /// <summary>Keys and values filled after an exit.</summary>
    public double StatePropagation { get; }

    /// <summary>LM head products made for confidences.</summary>
    public double Confidence { get; }

    /// <summary>LM head products that chose a token.</summary>
    public double Head { get; }

    /// <summary>The published code's own count, no part of the others' sum.</summary>
    public double Paper { get; }

    /// <summary>All operations: the sum of <see cref="Decoder"/>, <see cref="StatePropagation"/>, <see cref="Confidence"/> and <see cref="Head"/>.</summary>
    public double Total => Decoder + StatePropagation + Confidence + Head;

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
