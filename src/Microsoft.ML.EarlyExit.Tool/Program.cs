using System.Runtime.InteropServices;
using System.Text;
using Microsoft.ML.EarlyExit.Tool;

Console.OutputEncoding = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false);
using var cancellation = new CancellationTokenSource();
using PosixSignalRegistration registration = PosixSignalRegistration.Create(PosixSignal.SIGINT, signal =>
{
    // A second Ctrl+C ends the process at once.
    signal.Cancel = !cancellation.IsCancellationRequested;
    cancellation.Cancel();
});
return EarlyExitTool.Run(args, new ToolContext(Console.Out, new MessageWriter(Console.Error, !Console.IsErrorRedirected), cancellation.Token));
