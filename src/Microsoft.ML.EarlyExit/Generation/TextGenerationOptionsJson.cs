using System.Buffers;
using System.Text;
using System.Text.Json;
using Microsoft.ML.EarlyExit.Evaluation.Json;

namespace Microsoft.ML.EarlyExit.Generation;

/// <summary>
/// The JSON form of <see cref="TextGenerationOptions"/>, without <see cref="TextGenerationOptions.BatchSize"/>,
/// <see cref="TextGenerationOptions.Trace"/> and <see cref="TextGenerationOptions.Exit"/>, which are given beside it.
/// </summary>
internal static class TextGenerationOptionsJson
{
    private const string MissingTexts = "missingTexts";
    private const string Skip = "skip";
    private const string UseEmptyText = "useEmptyText";

    /// <summary>Reads options.</summary>
    /// <param name="json">The file's text.</param>
    /// <param name="sourceName">The file's name, for messages.</param>
    /// <exception cref="InvalidDataException">A field is unknown, occurs twice, or has an impossible value.</exception>
    internal static TextGenerationOptions Parse(string json, string sourceName) => JsonFields.Parse(json, sourceName, ReadSaved);

    /// <inheritdoc cref="Parse(string, string)"/>
    internal static TextGenerationOptions Parse(Stream json, string sourceName) => JsonFields.Parse(json, sourceName, ReadSaved);

    /// <summary>Writes options so that <see cref="Parse(string, string)"/> reads the same ones.</summary>
    internal static string Write(TextGenerationOptions options)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true }))
        {
            writer.WriteStartObject();
            writer.WriteString("prefix", options.Prefix);
            if (options.MaxNewTokens is { } maxNewTokens)
                writer.WriteNumber("maxNewTokens", maxNewTokens);
            if (options.MinNewTokens is { } minNewTokens)
                writer.WriteNumber("minNewTokens", minNewTokens);
            writer.WriteNumber("maxInputTokens", options.MaxInputTokens);
            writer.WriteBoolean("truncate", options.Truncate);
            if (options.RepetitionPenalty is { } repetitionPenalty)
                writer.WriteNumber("repetitionPenalty", repetitionPenalty);
            if (options.NoRepeatNgramSize is { } noRepeatNgramSize)
                writer.WriteNumber("noRepeatNgramSize", noRepeatNgramSize);
            if (options.MissingTexts == MissingTextHandling.UseEmptyText)
                writer.WriteString(MissingTexts, UseEmptyText);
            if (options.EncoderMemoryMB is { } encoderMemory)
                writer.WriteNumber("encoderMemoryMB", encoderMemory);
            writer.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    /// <summary>Reads the options among the fields of an object, without those that only data views have a use for.</summary>
    internal static TextGenerationOptions Read(JsonFields fields)
    {
        var options = new TextGenerationOptions();
        options = fields.Set(options, "prefix", o => o with { Prefix = fields.GetString("prefix") });
        options = fields.SetUnlessNull(options, "maxNewTokens", o => o with { MaxNewTokens = fields.GetInt32("maxNewTokens") });
        options = fields.SetUnlessNull(options, "minNewTokens", o => o with { MinNewTokens = fields.GetInt32("minNewTokens") });
        options = fields.Set(options, "maxInputTokens", o => o with { MaxInputTokens = fields.GetInt32("maxInputTokens") });
        options = fields.Set(options, "truncate", o => o with { Truncate = fields.GetBoolean("truncate") });
        options = fields.SetUnlessNull(options, "repetitionPenalty", o => o with { RepetitionPenalty = fields.GetSingle("repetitionPenalty") });
        options = fields.SetUnlessNull(options, "encoderMemoryMB", o => o with { EncoderMemoryMB = fields.GetInt32("encoderMemoryMB") });
        return fields.SetUnlessNull(options, "noRepeatNgramSize", o => o with { NoRepeatNgramSize = fields.GetInt32("noRepeatNgramSize") });
    }

    private static TextGenerationOptions ReadSaved(JsonFields fields) => fields.SetUnlessNull(Read(fields), MissingTexts, o => o with
    {
        MissingTexts = fields.GetString(MissingTexts) switch
        {
            Skip => MissingTextHandling.Skip,
            UseEmptyText => MissingTextHandling.UseEmptyText,
            _ => throw fields.Refuse(MissingTexts, $"it must be {Skip} or {UseEmptyText}"),
        },
    });
}
