using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit;

namespace ScoreLayers;

/// <summary>A prompt and its target: in texts for the library, and padded to a fixed length for ML.NET's ONNX transform, which takes no other.</summary>
internal sealed class TargetRow
{
    public const int InputLength = 64;
    public const int TargetLength = 48;

    public TargetRow(string prompt, string target, T5Tokenizer tokenizer)
    {
        Prompt = prompt;
        Target = target;
        IReadOnlyList<int> input = tokenizer.Encode(prompt);
        for (int position = 0; position < input.Count; position++)
            (InputIds[position], Mask[position]) = (input[position], 1);

        // The decoder sees the target shifted right, behind its start token, which is id 0 as the padding is.
        IReadOnlyList<int> ids = tokenizer.Encode(target);
        for (int position = 1; position < ids.Count; position++)
            DecoderInputIds[position] = ids[position - 1];
    }

    public string Prompt { get; }

    public string Target { get; }

    [ColumnName("input_ids"), VectorType(InputLength)]
    public long[] InputIds { get; } = new long[InputLength];

    [ColumnName("attention_mask"), VectorType(InputLength)]
    public long[] Mask { get; } = new long[InputLength];

    [ColumnName("decoder_input_ids"), VectorType(TargetLength)]
    public long[] DecoderInputIds { get; } = new long[TargetLength];
}
