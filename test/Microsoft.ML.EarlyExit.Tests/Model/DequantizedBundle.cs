using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Microsoft.ML.EarlyExit.Conversion;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>A bundle in single precision with the weights that a bundle of whole numbers stands for, read in plain arithmetic.</summary>
internal static class DequantizedBundle
{
    /// <param name="checkpoint">What both are made of.</param>
    /// <param name="quantized">The bundle of whole numbers.</param>
    /// <param name="target">The folder to create.</param>
    public static void Write(string checkpoint, string quantized, string target)
    {
        T5Converter.Convert(checkpoint, target);
        string manifestPath = Path.Combine(target, "model.json");
        string weightsPath = Path.Combine(target, "weights.bin");
        JsonNode manifest = JsonNode.Parse(File.ReadAllBytes(manifestPath))!;
        byte[] weights = File.ReadAllBytes(weightsPath);
        int replaced = 0;
        foreach (JsonNode? tensor in JsonNode.Parse(File.ReadAllBytes(Path.Combine(quantized, "model.json")))!["tensors"]!.AsArray())
        {
            string name = (string)tensor!["name"]!;
            if (tensor["type"] is null)
                continue;
            float[,] matrix = Read(quantized, name);
            int at = (int)manifest["tensors"]!.AsArray().Single(one => (string)one!["name"]! == name)!["offset"]!;
            for (int column = 0; column < matrix.GetLength(1); column++)
            {
                for (int row = 0; row < matrix.GetLength(0); row++, at += 4)
                    BinaryPrimitives.WriteSingleLittleEndian(weights.AsSpan(at), matrix[row, column]);
            }

            replaced++;
        }

        Assert.NotEqual(0, replaced);
        File.WriteAllBytes(weightsPath, weights);
        manifest["files"]!.AsArray().Single(file => (string)file!["name"]! == "weights.bin")!["sha256"] = System.Convert.ToHexStringLower(SHA256.HashData(weights));
        File.WriteAllText(manifestPath, manifest.ToJsonString());
    }

    /// <summary>A matrix of a bundle of whole numbers: [outputs, inputs].</summary>
    public static float[,] Read(string bundle, string name)
    {
        JsonArray tensors = JsonNode.Parse(File.ReadAllBytes(Path.Combine(bundle, "model.json")))!["tensors"]!.AsArray();
        byte[] file = File.ReadAllBytes(Path.Combine(bundle, "weights.bin"));
        JsonNode numbers = tensors.Single(tensor => (string)tensor!["name"]! == name)!;
        JsonNode scales = tensors.Single(tensor => (string)tensor!["name"]! == name + ".scales")!;
        (int rows, int width, int blocks) = ((int)numbers["shape"]![0]!, (int)numbers["shape"]![1]!, (int)scales["shape"]![1]!);
        bool isHalf = (string)numbers["type"]! == "int4";
        var matrix = new float[rows, width];
        for (int row = 0; row < rows; row++)
        {
            for (int column = 0; column < width; column++)
            {
                int index = (row * width) + column;
                int number = isHalf ? file[(int)numbers["offset"]! + (index / 2)] >> (4 * (index % 2)) & 15 : (sbyte)file[(int)numbers["offset"]! + index];
                if (isHalf && number > 7)
                    number -= 16;
                int scale = (row * blocks) + (column / (width / blocks));
                matrix[row, column] = number * BinaryPrimitives.ReadSingleLittleEndian(file.AsSpan((int)scales["offset"]! + (4 * scale)));
            }
        }

        return matrix;
    }
}
