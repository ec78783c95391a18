using System.CommandLine;
using Microsoft.ML.EarlyExit.Calibration;
using Microsoft.ML.EarlyExit.Reproduction.Figures;
using Microsoft.ML.EarlyExit.Tool.Figures.Scores;
using Microsoft.ML.EarlyExit.Tool.Interaction;
using Microsoft.ML.EarlyExit.Tool.Output;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary><c>figures</c>: what rows of <c>score</c> look like by layer, or a folder's figures drawn again from their numbers.</summary>
internal sealed class FiguresCommand : ToolCommand
{
    private readonly ToolContext _context;
    private readonly Argument<string> _folder =
        PathSymbols.CreateArgument("FOLDER", "A folder with figures, to draw again from their numbers: NAME.csv with NAME.figure.json.");
    private readonly Option<string[]> _scores =
        PathSymbols.CreateFilesOption("--scores", "Rows that score wrote; give it again for more files, each becomes a panel and a line.");
    private readonly Option<string?> _certificate = PathSymbols.CreateFileOption("--certificate", "A certificate that calibrate wrote.");
    private readonly Option<string?> _output =
        PathSymbols.CreateFileOption("--output", "The folder for the figures of --scores or --certificate; it is created where it is missing.");

    public FiguresCommand(ToolContext context)
        : base(
            "figures", "Draw ranks, confidences and agreement by layer, or draw a folder's figures again.",
            "--scores small.jsonl --scores base.jsonl --output figures")
    {
        _context = context;
        _folder.Arity = ArgumentArity.ZeroOrOne;
        _output.HelpName = "FOLDER";
        Add(_folder);
        Add(_scores);
        Add(_certificate);
        Add(_output);
        Validators.Add(result =>
        {
            bool[] given =
                [result.GetResult(_folder) is { Tokens.Count: > 0 }, result.GetResult(_scores) is not null, result.GetResult(_certificate) is not null];
            if (given.Count(isGiven => isGiven) != 1)
                result.AddError("Give either a folder, --scores or --certificate.");
            else if (given[0] == result.GetResult(_output) is not null)
                result.AddError("Give --output together with --scores or --certificate.");
        });
        SetAction(Run);
    }

    private int Run(ParseResult parsed)
    {
        if (parsed.GetValue(_scores) is { Length: > 0 } scores)
            DrawScores(scores, parsed.GetRequiredValue(_output)!);
        else if (parsed.GetValue(_certificate) is { } certificate)
            DrawCertificate(certificate, parsed.GetRequiredValue(_output)!);
        else
            DrawAgain(parsed.GetRequiredValue(_folder));
        return ExitCode.Done;
    }

    private void DrawScores(string[] paths, string folder)
    {
        string[] names = NameSeries(paths);
        ScoreStatistics[] statistics = [.. paths.Select(Read)];
        (string Name, IReadOnlyList<LayerStatistics> Layers)[] series = [.. names.Zip(statistics, (name, one) => (name, one.Layers))];
        Figure[] figures =
        [
            new BoxPlotFigure(
                "ranks", "Rank of the last layer's token at each layer", "decoder layer", "rank",
                [.. series.Select(one => new BoxPlotFigure.Boxes(one.Name, [.. one.Layers.Select((layer, index) => layer.ToBox(index + 1))]))],
                IsLogarithmic: true),
            new LineFigure(
                "confidence", "Confidence and agreement with the last layer", "decoder layer",
                [
                    new LineFigure.Panel("mean confidence", [.. series.Select(one => Line(one.Name, one.Layers, layer => layer.MeanConfidence))]),
                    new LineFigure.Panel("share of the last layer's tokens", [.. series.Select(one => Line(one.Name, one.Layers, layer => layer.Agreement))]),
                ]),
        ];
        Save(figures, folder);
    }

    private void DrawCertificate(string path, string folder)
    {
        CalibrationCertificate certificate = PathSymbols.Read(path, _context, CalibrationCertificateJson.Parse);
        Save([CertificateFigure.Create(certificate)], folder);
    }

    private void Save(Figure[] figures, string folder)
    {
        if (File.Exists(folder))
            throw new IOException($"The output '{folder}' is a file; name a folder.");
        Directory.CreateDirectory(folder);
        foreach (Figure figure in figures)
        {
            _context.Cancellation.ThrowIfCancellationRequested();
            figure.Save(folder);
        }

        _context.Messages.Say(
            $"Drew {(figures.Length == 1 ? "1 figure" : $"{figures.Length} figures")} in '{folder}': "
            + $"{string.Join(", ", figures.Select(figure => figure.Name))}.");
    }

    private void DrawAgain(string folder)
    {
        if (!Directory.Exists(folder))
            throw new DirectoryNotFoundException($"There is no folder '{folder}'.");
        string[] paths = [.. Directory.GetFiles(folder, $"*{Figure.DescriptionExtension}").Order(StringComparer.Ordinal)];
        if (paths.Length == 0)
            throw new InvalidDataException($"The folder '{folder}' has no figures: no NAME{Figure.DescriptionExtension}.");

        // All are read before the first is drawn, so that a damaged file changes nothing.
        Figure[] figures = [.. paths.Select(FigureFile.Read)];
        for (int index = 0; index < figures.Length; index++)
        {
            _context.Cancellation.ThrowIfCancellationRequested();
            figures[index].Draw(folder);
            _context.Messages.ShowProgress((index + 1.0) / figures.Length, figures[index].Name);
        }

        _context.Messages.Say($"Drew {figures.Length} {(figures.Length == 1 ? "figure" : "figures")} in '{folder}'.");
    }

    private ScoreStatistics Read(string path)
    {
        ScoreStatistics statistics = ScoreStatistics.Read(path, _context);
        if (statistics.ErrorRows > 0)
        {
            _context.Messages.Say(
                $"{path}: left out {GenerationRun.CountRows(statistics.ErrorRows)} that {(statistics.ErrorRows == 1 ? "is an error" : "are errors")}.");
        }

        return statistics;
    }

    private static LineFigure.Line Line(string name, IReadOnlyList<LayerStatistics> layers, Func<LayerStatistics, double> value) =>
        new(name, [.. layers.Select((layer, index) => (index + 1.0, value(layer)))]);

    /// <summary>
    /// The files' names without extensions; where two are equal, the paths as they were given, and of those that are equal too all but the first with a number.
    /// </summary>
    private static string[] NameSeries(string[] paths)
    {
        string[] names = [.. paths.Select(Path.GetFileNameWithoutExtension)!];
        if (names.Distinct(StringComparer.Ordinal).Count() < names.Length)
            names = [.. paths];
        return [.. names.Select((name, index) => names.Take(index).Count(before => before == name) is var times and > 0 ? $"{name} ({times + 1})" : name)];
    }
}
