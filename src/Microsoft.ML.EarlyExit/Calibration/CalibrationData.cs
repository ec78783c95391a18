using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.DataViews;
using Microsoft.ML.EarlyExit.Evaluation.Metrics;
using Microsoft.ML.EarlyExit.Generation;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit.Calibration;

/// <summary>The prompts of a calibration.</summary>
internal static class CalibrationData
{
    /// <summary>Checks that a model gives texts.</summary>
    /// <exception cref="InvalidModelException">It has no tokenizer.</exception>
    public static void CheckModel(EarlyExitModel model)
    {
        if (model.Tokenizer is null)
        {
            throw new InvalidModelException(
                $"The model bundle '{model.Bundle.Folder}' has no tokenizer, so there are no texts for a loss to compare: "
                + "convert a checkpoint that has its spiece.model.");
        }
    }

    /// <summary>The column of references; null where none is named.</summary>
    /// <exception cref="ArgumentOutOfRangeException">It is not there, or holds something else.</exception>
    public static DataViewSchema.Column? FindLabel(DataViewSchema schema, string? name, string parameter)
    {
        if (name is null)
            return null;
        DataViewSchema.Column column = schema.GetColumnOrNull(name)
            ?? throw new ArgumentOutOfRangeException(parameter, $"Could not find label column '{name}'");
        return ReferenceReader.Accepts(column.Type)
            ? column
            : throw new ArgumentOutOfRangeException(
                parameter, $"Schema mismatch for label column '{name}': expected {ReferenceReader.Expected}, got {column.Type}");
    }

    /// <summary>Reads all prompts of a data view.</summary>
    /// <exception cref="InvalidOperationException">A row cannot be a prompt; the message names it.</exception>
    public static List<CalibrationPrompt> Read(
        IDataView data, DataViewSchema.Column input, DataViewSchema.Column? label, EarlyExitModel model, TextGenerationOptions options, IChannel channel)
    {
        var prompts = new List<CalibrationPrompt>();
        using DataViewRowCursor cursor = data.GetRowCursor(label is { } wanted ? [input, wanted] : [input]);
        Func<GenerationInput> getInput = InputColumn.CreateGetter(cursor, cursor.Schema[input.Index]);
        ReferenceReader? references = label is { } column ? new ReferenceReader(cursor, cursor.Schema[column.Index]) : null;
        long cut = 0;
        while (cursor.MoveNext())
        {
            if (references?.Read() == 0)
            {
                throw new InvalidOperationException(
                    $"Row {prompts.Count}, counted from 0, has no reference in column '{label!.Value.Name}', which the loss needs.");
            }

            PreparedInput prepared = model.Prepare(getInput(), options);
            if (prepared.Error is not null)
                throw new InvalidOperationException($"Row {prompts.Count}, counted from 0, cannot be generated from: {prepared.Error}");
            cut += prepared.CutTokens > 0 ? 1 : 0;
            prompts.Add(new CalibrationPrompt(prompts.Count, prepared, references is null ? [] : references.Current.ToArray()));
        }

        if (cut > 0)
        {
            channel.Warning(
                MessageSensitivity.None,
                $"{cut} of {prompts.Count} inputs exceed MaxInputTokens ({options.MaxInputTokens}) and were cut; "
                + "the guarantee is for inputs that are cut likewise.");
        }

        return prompts;
    }

    /// <summary>What is wrong with prompts as a sample; null where nothing is.</summary>
    public static string? FindDuplicates(IReadOnlyList<CalibrationPrompt> prompts)
    {
        int distinct = prompts.Select(prompt => Hash([prompt])).Distinct(StringComparer.Ordinal).Count();
        int repeated = prompts.Count - distinct;
        return repeated == 0
            ? null
            : $"{repeated} of {prompts.Count} prompts are repetitions of others. The guarantee presumes independent draws: if the repetitions are "
                + "an accident of how the data was made, remove them, or it claims more than the data says.";
    }

    /// <summary>SHA-256 of the prompts in their order, in hexadecimal digits.</summary>
    public static string Hash(IReadOnlyList<CalibrationPrompt> prompts)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (CalibrationPrompt prompt in prompts)
        {
            AppendNumber(prompt.Input.TokenIds.Count);
            int[] ids = prompt.Input.TokenIds as int[] ?? [.. prompt.Input.TokenIds];
            if (!BitConverter.IsLittleEndian)
                BinaryPrimitives.ReverseEndianness(ids, ids = new int[ids.Length]);
            hash.AppendData(MemoryMarshal.AsBytes(ids.AsSpan()));
            AppendNumber(prompt.References.Length);
            foreach (string reference in prompt.References)
            {
                byte[] text = Encoding.UTF8.GetBytes(reference);
                AppendNumber(text.Length);
                hash.AppendData(text);
            }
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());

        void AppendNumber(int number)
        {
            Span<byte> bytes = stackalloc byte[sizeof(int)];
            BinaryPrimitives.WriteInt32LittleEndian(bytes, number);
            hash.AppendData(bytes);
        }
    }
}
